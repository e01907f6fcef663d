package main

import (
	"errors"
	"time"

	"github.com/ticketbridge/ticketbridge/internal/databaseurl"
	"github.com/ticketbridge/ticketbridge/internal/httpserver"
	"github.com/ticketbridge/ticketbridge/internal/reload"
	"github.com/ticketbridge/ticketbridge/internal/settings"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc"
)

const description = `Keeps tickets and the events that make them, and serves both to other services over Connect, gRPC and gRPC-Web.

Without any setting it serves on this machine and keeps its data in an SQLite file in the folder data. To serve other machines it needs
tokens. Each has one of three scopes: ingest (the gateway: it records events), read (reads tickets), admin (everything, and erases
tickets). Files with tokens and certificates are read again when they change, and on SIGHUP.

Each setting is a flag or an environment variable; the flag takes precedence. A variable that begins with TICKETSVC_ and
is not a setting is an error. Give secrets in files or in the environment: other users can read the command line of a process.`

// commandLine has the commands of ticketsvc.
type commandLine struct {
	Serve    options         `cmd:"" default:"withargs" help:"Serve until SIGTERM or Ctrl-C. The default."`
	Backup   backupOptions   `cmd:"" help:"Copy the SQLite database to a new file, while ticketsvc runs or not, and check the copy."`
	Restore  restoreOptions  `cmd:"" help:"Put a backup in the place of the SQLite database, while ticketsvc is stopped. The old database is kept beside it."`
	Erasures erasuresOptions `cmd:"" help:"Export and import which tickets were erased: a restored backup lacks what was erased after it."`
}

// restoreMeaning is the text that the command restore prints at the end.
const restoreMeaning = `Tickets that were erased after the backup are back until the gateway repeats the erasures that it knows.
If you keep a list of erased tickets elsewhere, import it before ticketsvc starts: ticketsvc erasures import FILE (docs/backup.md).
Watchers whose resume token is newer than the backup get OUT_OF_RANGE, and start again without a token. Older tokens are served.
Events that the gateway forwarded after the backup are missing until it forwards them again (docs/backup.md).
`

// restoreOptions are the settings of a restore.
type restoreOptions struct {
	DatabaseURL string `name:"database-url" default:"sqlite:data/ticketsvc.db" placeholder:"URL" help:"The database, as sqlite:<path>."`
	File        string `arg:"" help:"The backup, a file that the command backup made."`
}

// erasuresOptions are the settings of the commands about erasures.
type erasuresOptions struct {
	Export exportOptions `cmd:"" help:"Write the ids of all erased tickets, one per line, while ticketsvc runs or not."`
	Import importOptions `cmd:"" help:"Erase the tickets of such a list. Those that are erased stay so. With SQLite, stop ticketsvc first."`
}

// exportOptions are the settings of an export of erasures.
type exportOptions struct {
	DatabaseURL string `name:"database-url" default:"sqlite:data/ticketsvc.db" placeholder:"URL" help:"The database: sqlite:<path> or postgres://user@host:5432/database."`
	File        string `arg:"" optional:"" help:"The new file. Its folder must be there. Without it, or with -, the list is printed."`
}

// importOptions are the settings of an import of erasures.
type importOptions struct {
	DatabaseURL string `name:"database-url" default:"sqlite:data/ticketsvc.db" placeholder:"URL" help:"The database: sqlite:<path> or postgres://user@host:5432/database."`
	File        string `arg:"" help:"The file with the list."`
}

// backupOptions are the settings of a backup.
type backupOptions struct {
	DatabaseURL string `name:"database-url" default:"sqlite:data/ticketsvc.db" placeholder:"URL" help:"The database, as sqlite:<path>."`
	File        string `arg:"" help:"The new file. Its folder must be there."`
}

// options are the settings of serving, as given.
type options struct {
	Listen      string `default:"127.0.0.1:9090" placeholder:"HOST:PORT" help:"Address of the RPCs, health and reflection, over HTTP/1.1 and HTTP/2. Without tokens: loopback only, and callers must use an IP address or localhost."`
	AdminListen string `default:"127.0.0.1:9091" placeholder:"HOST:PORT" help:"Admin address: /livez, /readyz, /debug/pprof/. Loopback only."`
	DatabaseURL string `name:"database-url" default:"sqlite:data/ticketsvc.db" placeholder:"URL" help:"Database of the events and tickets: sqlite:<path>, or postgres://user@host:5432/database, which any number of replicas share. Give the password in PGPASSWORD or PGPASSFILE."`

	Tokens     []string `placeholder:"SCOPE=TOKEN" sep:"," help:"Tokens of callers, as scope=token. The scope is ingest, read or admin; the token has at least 16 bytes. Several of a scope while rotating. Use the flag only for development."`
	TokensFile string   `placeholder:"FILE" help:"File with tokens, one per line. If --tokens is set as well, all tokens are accepted. ticketsvc reads the file again when it changes, and on SIGHUP."`

	TLSCertFile string `name:"tls-cert-file" placeholder:"FILE" help:"PEM file with the certificate and its chain, for TLS on the RPCs' address. Without it the RPCs are served in cleartext. ticketsvc reads the file again when it changes, and on SIGHUP."`
	TLSKeyFile  string `name:"tls-key-file" placeholder:"FILE" help:"PEM file with the certificate's key, read again as the certificate is."`

	CORSOrigins []string `name:"cors-origins" placeholder:"ORIGIN" sep:"," help:"Origins of web pages that may call from a browser, such as https://tickets.example.com; comma-separated, without wildcards. By default no page may call."`

	MaxConnections      int `default:"0" placeholder:"N" help:"Maximum number of open connections to the RPCs' address. At the limit, a new connection replaces the one that has been idle for the longest time, or waits until one has been idle for a second. 0 means half of the files that the process may open (ulimit -n), at most 8192."`
	MaxWatchersPerToken int `default:"256" placeholder:"N" help:"Maximum number of WatchTickets streams per token, or per address if there are no tokens. All callers together have 4096. More streams are refused with RESOURCE_EXHAUSTED after 7 to 15 s."`

	ShutdownTimeout time.Duration `default:"10s" placeholder:"DURATION" help:"Time limit for a clean stop, at most 24h."`
	settings.Log
}

// config has the service's settings, checked and ready to use.
type config struct {
	options
	database databaseurl.URL
	// security has no tokens, or no certificate, if none are set.
	security rpc.Security
	// files are the files that are reloaded while the service runs.
	files []*reload.Files
}

// check validates the settings and returns them ready to use. Its error names every wrong setting, one per line.
func (o options) check(program settings.Program) (config, error) {
	c := config{options: o}
	var problems []error
	problem := func(flag, format string, values ...any) {
		problems = append(problems, program.Problem(flag, format, values...))
	}
	c.readTokens(problem)
	c.readCertificate(problem)
	c.readOrigins(problem)
	protection := httpserver.Protection{Credentials: c.security.Tokens != nil, Fix: "set --tokens-file or --tokens"}
	if err := httpserver.CheckProtected(c.Listen, "127.0.0.1:9090", protection); err != nil {
		problem("listen", "%w", err)
	}
	if err := httpserver.CheckProtected(c.AdminListen, "127.0.0.1:9091", httpserver.Protection{}); err != nil {
		problem("admin-listen", "%w", err)
	}
	var err error
	if c.database, err = databaseurl.Parse(c.DatabaseURL); err != nil {
		problem("database-url", "%w", err)
	}
	if c.MaxConnections, err = httpserver.MaxConnections(c.MaxConnections); err != nil {
		problem("max-connections", "%w", err)
	}
	if c.MaxWatchersPerToken < 1 || c.MaxWatchersPerToken > 4096 {
		problem("max-watchers-per-token", "%d is out of range: use 1 to 4096", c.MaxWatchersPerToken)
	}
	c.security.WatchersPerToken = c.MaxWatchersPerToken
	if c.ShutdownTimeout <= 0 || c.ShutdownTimeout > 24*time.Hour {
		problem("shutdown-timeout", "%v is out of range: use more than 0 and at most 24h", c.ShutdownTimeout)
	}
	return c, errors.Join(problems...)
}
