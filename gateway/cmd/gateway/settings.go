package main

import (
	"crypto/x509"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	"github.com/ticketbridge/ticketbridge/gateway/internal/signature"
	"github.com/ticketbridge/ticketbridge/gateway/internal/webhook"
	"github.com/ticketbridge/ticketbridge/internal/credentials"
	"github.com/ticketbridge/ticketbridge/internal/databaseurl"
	"github.com/ticketbridge/ticketbridge/internal/httpserver"
	"github.com/ticketbridge/ticketbridge/internal/reload"
	"github.com/ticketbridge/ticketbridge/internal/settings"
)

const description = `Without a command it serves: it receives Allthings' webhooks, verifies and stores them, answers at once, and forwards
the events to ticketsvc.

It refuses to start without the webhook's shared secret. To try it out on this machine:

  GATEWAY_WEBHOOK_SECRET=for-development-only gateway

Each setting is a flag or an environment variable; the flag takes precedence. A variable that begins with GATEWAY_ and
is not a setting is an error. Give secrets in files or in the environment: other users can read the command line of a process.`

// commandLine has the commands of gateway.
type commandLine struct {
	Serve   options        `cmd:"" default:"withargs" help:"Serve until SIGTERM or Ctrl-C. The default."`
	Explain explainOptions `cmd:"" help:"Show how the gateway reads webhook bodies, without a server or a database."`
	Backup  backupOptions  `cmd:"" help:"Copy the SQLite database to a new file, while gateway runs or not, and check the copy."`
	Restore restoreOptions `cmd:"" help:"Put a backup in the place of the SQLite database, while gateway is stopped. The old database is kept beside it."`
}

// restoreMeaning is what the command restore prints at the end.
const restoreMeaning = `Deliveries that were acknowledged after the backup are not in it; ticketsvc may have their events.
Deliveries that are pending in the backup are forwarded again, and ticketsvc drops those that it has.
`

// restoreOptions are the settings of a restore.
type restoreOptions struct {
	DatabaseURL string `name:"database-url" default:"sqlite:data/gateway.db" placeholder:"URL" help:"The database, as sqlite:<path>."`
	File        string `arg:"" help:"The backup, a file that the command backup made."`
}

// backupOptions are the settings of a backup.
type backupOptions struct {
	DatabaseURL string `name:"database-url" default:"sqlite:data/gateway.db" placeholder:"URL" help:"The database, as sqlite:<path>."`
	File        string `arg:"" help:"The new file. Its folder must be there."`
}

// ignoredVariables are the variables of a former setting, and of planned settings: a deployment that has them still starts.
var ignoredVariables = []string{
	"GATEWAY_FORWARD_CONCURRENCY",
	"GATEWAY_WEBHOOKS_API_URL", "GATEWAY_WEBHOOKS_API_TOKEN", "GATEWAY_WEBHOOKS_API_TOKEN_FILE", "GATEWAY_WEBHOOK_ID",
}

// options are the settings of the command serve, as given.
type options struct {
	Listen      string `default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Public address. It serves POST on the webhook path over HTTP/1.1, and nothing else. Put a proxy with TLS in front."`
	WebhookPath string `default:"/webhook" placeholder:"PATH" help:"Path that Allthings posts to."`
	AdminListen string `default:"127.0.0.1:8081" placeholder:"HOST:PORT" help:"Admin address: /livez, /readyz, /debug/pprof/. Loopback only."`
	DatabaseURL string `name:"database-url" default:"sqlite:data/gateway.db" placeholder:"URL" help:"Database of the deliveries: sqlite:<path>, or postgres://user@host:5432/database, which any number of replicas share. Give the password in PGPASSWORD or PGPASSFILE."`

	TicketsvcURL       string `name:"ticketsvc-url" default:"http://127.0.0.1:9090" placeholder:"URL" help:"Where ticketsvc is."`
	TicketsvcToken     string `name:"ticketsvc-token" placeholder:"TOKEN" help:"Token for calls of ticketsvc, of the scope ingest; required if ticketsvc has tokens. Use the flag only for development."`
	TicketsvcTokenFile string `name:"ticketsvc-token-file" placeholder:"FILE" help:"File with that token, instead of --ticketsvc-token. The gateway reads the file again when it changes, and on SIGHUP."`
	TicketsvcCAFile    string `name:"ticketsvc-ca-file" placeholder:"FILE" help:"PEM file with the CA certificates that signed ticketsvc's certificate, instead of the system's. Read only at the start."`

	WebhookSecret          []string `placeholder:"SECRET" sep:"," help:"Shared secret of the webhook; required, here or in a file. Several while rotating. A secret of the form <app id>=<secret> is valid for that App only; the id is a UUID or 24 hex digits, in lower case. Use the flag only for development."`
	WebhookSecretFile      string   `placeholder:"FILE" help:"File with the shared secrets, one per line, in the form of --webhook-secret. If both are set, all secrets are accepted. The gateway reads the file again when it changes, and on SIGHUP."`
	WebhookSecretMinLength int      `default:"16" placeholder:"BYTES" help:"Minimum length of a secret. Lower it only for a secret that the sender made and that can't be changed."`

	SignatureHeader    []string      `default:"x-allthings-signature" placeholder:"NAME" sep:"," help:"Header with the signature. The header with -timestamp after this name holds its time. If several names are given, the first that a request has is used."`
	TimestampTolerance time.Duration `default:"2m" placeholder:"DURATION" help:"Maximum difference between a signature's time and the clock, in both directions. 0 is for senders that send no time: then only de-duplication by event id protects from repeated deliveries."`
	Unsigned           string        `default:"acknowledge" enum:"acknowledge,reject" placeholder:"WORD" help:"Answer to deliveries without a signature, such as Allthings' test: acknowledge (200) or reject (400). They are never stored."`
	bodySettings

	MaxConnections int           `default:"0" placeholder:"N" help:"Maximum number of open connections to the public address. At the limit, a new connection replaces the one that has been idle for the longest time, or waits until one has been idle for a second. 0 means half of the files that the process may open (ulimit -n), at most 8192."`
	IdleTimeout    time.Duration `default:"620s" placeholder:"DURATION" help:"How long a connection to the public address stays open between two requests. Make it longer than the idle timeout of the load balancer in front (often 600 s); otherwise the load balancer sends requests on connections that are being closed, and answers 502."`

	ForwardTimeout time.Duration `default:"5s" placeholder:"DURATION" help:"Deadline of one call of ticketsvc."`
	MaxAttempts    int           `default:"10" placeholder:"N" help:"How many calls may fail because of the event itself before its delivery is dead. Outages of ticketsvc use up no attempt."`

	ShutdownTimeout time.Duration `default:"10s" placeholder:"DURATION" help:"Time limit for a clean stop, at most 24h."`
	settings.Log
}

// bodySettings are the settings for bodies. The commands serve and explain share them.
type bodySettings struct {
	MaxBodyBytes    int64         `default:"1048576" placeholder:"BYTES" help:"Maximum size of a body, at most 3145728. A body has 15 s to arrive, so one of 1 MiB needs 70 KiB/s."`
	Unexpected      string        `default:"reject" enum:"reject,acknowledge" placeholder:"WORD" help:"Answer to events of an unknown kind: reject (400) or acknowledge (200). They are stored as rejected in both cases."`
	FutureTolerance time.Duration `default:"24h" placeholder:"DURATION" help:"How far ahead of its receipt an event may be dated. An event further ahead is dead, because its values would stay in force until that date. 0 switches the check off."`
}

// check reports the settings that are wrong.
func (b bodySettings) check(problem reportProblem) {
	if b.MaxBodyBytes < 1 || b.MaxBodyBytes > inbox.MaxBodyBytes {
		problem("max-body-bytes", "%d is out of range: use 1 to %d", b.MaxBodyBytes, inbox.MaxBodyBytes)
	}
	if b.FutureTolerance < 0 {
		problem("future-tolerance", "%v is out of range: use 0, which lets any date pass, or more", b.FutureTolerance)
	}
}

func (b bodySettings) forWebhook() webhook.BodyOptions {
	return webhook.BodyOptions{MaxBodyBytes: b.MaxBodyBytes, AcknowledgeUnexpected: b.Unexpected == "acknowledge"}
}

// config has the gateway's settings, checked and ready for use.
type config struct {
	options
	database     databaseurl.URL
	ticketsvcURL *url.URL
	// verifier has the webhook's secrets.
	verifier *signature.Verifier
	// token is empty if none is set.
	token *credentials.Outgoing
	// authorities are nil if the system's are used.
	authorities *x509.CertPool
	// files are the files that are read again while the gateway runs.
	files []*reload.Files
}

// check makes the settings ready for use. The error names every setting that is wrong, one per line.
func (o options) check(program settings.Program) (config, error) {
	c := config{options: o}
	var problems []error
	problem := func(flag, format string, values ...any) {
		problems = append(problems, program.Problem(flag, format, values...))
	}

	var err error
	c.readSecrets(problem)
	if c.database, err = databaseurl.Parse(c.DatabaseURL); err != nil {
		problem("database-url", "%w", err)
	}
	if c.ticketsvcURL, err = url.Parse(c.TicketsvcURL); err != nil || (c.ticketsvcURL.Scheme != "http" && c.ticketsvcURL.Scheme != "https") ||
		c.ticketsvcURL.Host == "" {
		problem("ticketsvc-url", "is not a URL such as http://127.0.0.1:9090: set it to where ticketsvc listens")
	}
	c.readToken(problem)
	c.readAuthorities(problem)
	if err := httpserver.CheckAddress(c.Listen, "127.0.0.1:8080"); err != nil {
		problem("listen", "%w", err)
	}
	if err := httpserver.CheckProtected(c.AdminListen, "127.0.0.1:8081", httpserver.Protection{}); err != nil {
		problem("admin-listen", "%w", err)
	}
	if !strings.HasPrefix(c.WebhookPath, "/") || strings.ContainsAny(c.WebhookPath, "?#") {
		problem("webhook-path", "%q is not a path: it begins with / and has neither ? nor #", c.WebhookPath)
	}
	if len(c.SignatureHeader) == 0 {
		problem("signature-header", "is empty: name the header that holds the signature, such as x-allthings-signature")
	}
	for i, name := range c.SignatureHeader {
		if c.SignatureHeader[i] = strings.TrimSpace(name); !isHeaderName(c.SignatureHeader[i]) {
			problem("signature-header", "%q is not a header name: use letters, digits and hyphens", name)
		}
	}
	if c.TimestampTolerance < 0 || c.TimestampTolerance > 24*time.Hour {
		problem("timestamp-tolerance", "%v is out of range: use 0, which switches the check off, to 24h", c.TimestampTolerance)
	}
	for _, d := range []struct {
		flag  string
		value time.Duration
	}{{"idle-timeout", c.IdleTimeout}, {"forward-timeout", c.ForwardTimeout}, {"shutdown-timeout", c.ShutdownTimeout}} {
		if d.value <= 0 || d.value > 24*time.Hour {
			problem(d.flag, "%v is out of range: use more than 0 and at most 24h", d.value)
		}
	}
	if c.MaxConnections, err = httpserver.MaxConnections(c.MaxConnections); err != nil {
		problem("max-connections", "%w", err)
	}
	c.bodySettings.check(problem)
	for _, limit := range []struct {
		flag        string
		value, most int64
	}{
		{"max-attempts", int64(c.MaxAttempts), 1000},
		{"webhook-secret-min-length", int64(c.WebhookSecretMinLength), 4096},
	} {
		if limit.value < 1 || limit.value > limit.most {
			problem(limit.flag, "%d is out of range: use 1 to %d", limit.value, limit.most)
		}
	}
	return c, errors.Join(problems...)
}

func isHeaderName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-'
	})
}
