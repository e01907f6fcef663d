package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/internal/settings"
	"github.com/ticketbridge/ticketbridge/internal/testkit/certificates"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgresql.Main(m)) }

func environment(values map[string]string) []string {
	var environ []string
	for name, value := range values {
		environ = append(environ, name+"="+value)
	}
	return environ
}

// running is a service that was started with run.
type running struct {
	rpc, admin string
	// stop stops the service as SIGTERM does, and returns its exit code.
	stop func() int
	log  *strings.Builder
}

var readyLine = regexp.MustCompile(`msg="ticketsvc is ready" program=ticketsvc rpc=(\S+) admin=(\S+)`)

// mustRun starts the service on free ports, and waits for the log line that it is ready.
func mustRun(t *testing.T, args ...string) running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	reader, writer := io.Pipe()
	exit := make(chan int, 1)
	go func() {
		exit <- run(ctx, append([]string{"--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"}, args...), environment(nil), io.Discard, writer)
		_ = writer.Close()
	}()
	r := running{log: &strings.Builder{}}
	lines := bufio.NewScanner(io.TeeReader(reader, r.log))
	for r.rpc == "" {
		if !lines.Scan() {
			t.Fatalf("it ended with %d before it was ready: %s", <-exit, r.log)
		}
		if found := readyLine.FindStringSubmatch(lines.Text()); found != nil {
			r.rpc, r.admin = found[1], found[2]
		}
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for lines.Scan() {
			continue
		}
	}()
	stopped := false
	r.stop = func() int {
		stopped = true
		cancel()
		<-drained
		return <-exit
	}
	t.Cleanup(func() {
		if !stopped {
			r.stop()
		}
	})
	return r
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, strings.TrimSpace(string(body))
}

func TestServe(t *testing.T) {
	t.Parallel()
	database := "--database-url=sqlite:" + filepath.Join(t.TempDir(), "data", "tickets.db")
	first := mustRun(t, database)
	for _, path := range []string{"/livez", "/readyz"} {
		if status, body := get(t, first.admin+path); status != http.StatusOK || body != "ok" {
			t.Errorf("%s: %d %q", path, status, body)
		}
	}
	transport := &http.Transport{Protocols: &http.Protocols{}}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	request := &ticketv1.TicketCreatedRequest{
		Event:     &ticketv1.EventMetadata{EventId: "e", OccurTime: &timestamppb.Timestamp{Seconds: 1}},
		Ticket:    &ticketv1.Ticket{TicketId: "t", Title: "personal"},
		FieldMask: &fieldmaskpb.FieldMask{Paths: []string{"title"}},
	}
	events := ticketv1connect.NewTicketEventServiceClient(client, first.rpc, connect.WithGRPC())
	if _, err := events.TicketCreated(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	stream, err := ticketv1connect.NewTicketServiceClient(client, first.rpc, connect.WithGRPC()).WatchTickets(t.Context(),
		&ticketv1.WatchTicketsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // The messages are the ticket, and the heartbeat after the last ticket.
		stream.Receive()
	}
	// The client's connection and the stream are still open: a stop does not wait for them.
	if code := first.stop(); code != settings.ExitOK {
		t.Errorf("exit code %d, want 0: %s", code, first.log)
	}
	token := ""
	for stream.Receive() {
		token = stream.Msg().GetResumeToken()
	}
	if connect.CodeOf(stream.Err()) != connect.CodeUnavailable || token == "" {
		t.Errorf("the stream ended with %v and the token %q, want UNAVAILABLE and a token", stream.Err(), token)
	}
	_ = stream.Close()
	if strings.Contains(first.log.String(), "personal") {
		t.Errorf("the log holds personal data: %s", first.log)
	}

	second := mustRun(t, database, "--log-format=text")
	got, err := ticketv1connect.NewTicketServiceClient(client, second.rpc, connect.WithGRPC()).
		GetTicket(t.Context(), &ticketv1.GetTicketRequest{TicketId: "t"})
	if err != nil || got.GetTicket().GetTitle() != "personal" {
		t.Errorf("after a restart: %v, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	stream, err = ticketv1connect.NewTicketServiceClient(client, second.rpc, connect.WithGRPC()).WatchTickets(ctx,
		&ticketv1.WatchTicketsRequest{ResumeToken: token})
	if err != nil {
		t.Fatal(err)
	}
	if !stream.Receive() || stream.Msg().GetHeartbeat() == nil {
		t.Errorf("resumed, it says %v, %v; want nothing new", stream.Msg(), stream.Err())
	}
	cancel()
	_ = stream.Close()
}

// TestServe_stopCutsOffCalls has a caller that never sends the rest of its request.
func TestServe_stopCutsOffCalls(t *testing.T) {
	t.Parallel()
	r := mustRun(t, "--database-url=sqlite:"+filepath.Join(t.TempDir(), "tickets.db"), "--shutdown-timeout=1s")
	address, err := url.Parse(r.rpc)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "POST "+ticketv1connect.TicketEventServiceTicketCreatedProcedure+" HTTP/1.1\r\nHost: localhost\r\n"+
		"Content-Type: application/json\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	// The response comes when the call waits for the body.
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
		t.Fatalf("%q, %v", line, err)
	}
	if code := r.stop(); code != settings.ExitOK {
		t.Errorf("exit code %d, want 0: %s", code, r.log)
	}
	if log := r.log.String(); !strings.Contains(log, "calls were cut off") || strings.Contains(log, "committing") ||
		strings.Contains(log, "recorded") {
		t.Errorf("the log is to say that a call was cut off, and nothing of events, of which there was none:\n%s", log)
	}
}

func TestServe_otherMachines(t *testing.T) {
	t.Parallel()
	certificate := certificates.MustCreate(t)
	for name, test := range map[string]struct {
		args  []string
		https bool
		warns bool
	}{
		"cleartext for others":       {[]string{"--listen=0.0.0.0:0"}, false, true},
		"cleartext for this machine": {nil, false, false},
		"TLS for others": {[]string{"--listen=0.0.0.0:0", "--tls-cert-file=" + certificate.Certificate,
			"--tls-key-file=" + certificate.Key}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := mustRun(t, append(test.args, "--database-url=sqlite:"+filepath.Join(t.TempDir(), "tickets.db"),
				"--tokens=read=hush-hush-hush-hush")...)
			address, err := url.Parse(r.rpc)
			if err != nil || (address.Scheme == "https") != test.https {
				t.Fatalf("it says that it is at %s, %v", r.rpc, err)
			}
			address.Host = net.JoinHostPort("127.0.0.1", address.Port())
			transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: certificate.MustPool(t)}}
			defer transport.CloseIdleConnections()
			client := ticketv1connect.NewTicketServiceClient(&http.Client{Transport: transport}, address.String())
			for token, want := range map[string]connect.Code{"": connect.CodeUnauthenticated, "hush-hush-hush-hush": connect.CodeNotFound} {
				ctx, call := connect.NewClientContext(t.Context())
				call.RequestHeader().Set("Authorization", "Bearer "+token)
				if _, err := client.GetTicket(ctx, &ticketv1.GetTicketRequest{TicketId: "t"}); connect.CodeOf(err) != want {
					t.Errorf("with the token %q: %v, want %v", token, err, want)
				}
			}
			r.stop()
			if log := r.log.String(); strings.Contains(log, "in cleartext") != test.warns || strings.Contains(log, "hush") {
				t.Errorf("log, want a warning: %v, and no token:\n%s", test.warns, log)
			}
		})
	}
}

func TestServe_corsOrigins(t *testing.T) {
	t.Parallel()
	r := mustRun(t, "--database-url=sqlite:"+filepath.Join(t.TempDir(), "tickets.db"), "--cors-origins=, https://a.example ,https://b.example")
	for origin, want := range map[string]string{"https://a.example": "https://a.example", "https://b.example": "https://b.example",
		"https://c.example": ""} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, r.rpc+ticketv1connect.TicketServiceGetTicketProcedure, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Origin", origin)
		request.Header.Set("Access-Control-Request-Method", "POST")
		response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if got := response.Header.Get("Access-Control-Allow-Origin"); got != want {
			t.Errorf("%s: allowed origin %q, want %q", origin, got, want)
		}
	}
}

// fails runs the service with settings that can't work, and returns its exit code and its output.
func fails(t *testing.T, env map[string]string, args ...string) (int, []string) {
	t.Helper()
	var stderr strings.Builder
	code := run(t.Context(), args, environment(env), io.Discard, &stderr)
	return code, strings.Split(strings.TrimSuffix(stderr.String(), "\n"), "\n")
}

func TestServe_wrongSettings(t *testing.T) {
	t.Parallel()
	code, lines := fails(t, map[string]string{"TICKETSVC_LISTEN": ":9090", "TICKETSVC_SHUTDOWN_TIMEOUT": "48h"},
		"--admin-listen=0.0.0.0:9091", "--database-url=postgres://user:secret@host:port/db")
	want := []string{"--listen / TICKETSVC_LISTEN: ", "--admin-listen / TICKETSVC_ADMIN_LISTEN: ",
		"--database-url / TICKETSVC_DATABASE_URL: is not", "--shutdown-timeout / TICKETSVC_SHUTDOWN_TIMEOUT: "}
	if code != settings.ExitSettings || len(lines) != len(want) {
		t.Fatalf("exit code %d and %d lines, want %d and %d: %q", code, len(lines), settings.ExitSettings, len(want), lines)
	}
	for i, line := range lines {
		if !strings.HasPrefix(line, "ticketsvc: "+want[i]) || strings.Contains(line, "secret") {
			t.Errorf("line %q, want one that begins with %q and holds no password", line, want[i])
		}
	}
}

func TestServe_unusableFilesAndAddresses(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tokens := filepath.Join(folder, "tokens")
	if err := os.WriteFile(tokens, []byte("admin=hush-hush-hush-hush\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	certificate := certificates.MustCreate(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	mustRun(t, "--database-url=sqlite:"+filepath.Join(folder, "running.db"))
	database := "--database-url=sqlite:" + filepath.Join(folder, "a.db")
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"an unknown flag":             {[]string{"--bogus"}, "--bogus"},
		"a database of no kind":       {[]string{"--database-url=tickets.db"}, "--database-url / TICKETSVC_DATABASE_URL: is not of the form"},
		"a folder that can't be made": {[]string{"--database-url=sqlite:" + file + "/a.db"}, "--database-url / TICKETSVC_DATABASE_URL: "},
		"a database in use":           {[]string{"--database-url=sqlite:" + filepath.Join(folder, "running.db")}, "in use by another process"},
		"an address in use": {[]string{database + "1", "--listen=" + taken.Addr().String(), "--admin-listen=127.0.0.1:0"},
			"--listen / TICKETSVC_LISTEN: can't listen on " + taken.Addr().String()},
		"an admin address in use": {[]string{database + "2", "--admin-listen=" + taken.Addr().String()},
			"--admin-listen / TICKETSVC_ADMIN_LISTEN: can't listen on"},
		"an address without a port": {[]string{database + "3", "--listen=127.0.0.1"},
			"--listen / TICKETSVC_LISTEN: \"127.0.0.1\" is not an address"},
		"an address for others": {[]string{database + "4", "--listen=0.0.0.0:0"},
			"--listen / TICKETSVC_LISTEN: \"0.0.0.0:0\" can be reached from other machines, and no credentials protect it: set --tokens-file"},
		"an address for others, with a certificate alone": {[]string{database + "5", "--listen=0.0.0.0:0",
			"--tls-cert-file=" + certificate.Certificate, "--tls-key-file=" + certificate.Key}, "no credentials protect it"},
		"an admin address for others": {[]string{database + "6", "--admin-listen=0.0.0.0:0", "--tokens=read=hush-hush-hush-hush"},
			"--admin-listen / TICKETSVC_ADMIN_LISTEN: "},
		"a token without a scope": {[]string{database + "7", "--tokens=read=hush-hush-hush-hush,hush-hush-hush-hush"},
			"--tokens / TICKETSVC_TOKENS: entry 2 is not of the form"},
		"a token that is short": {[]string{database + "8", "--listen=0.0.0.0:0", "--tokens=read=hush"},
			"--tokens / TICKETSVC_TOKENS: entry 1"},
		"a file of tokens not there": {[]string{database + "10", "--tokens-file=hush"},
			"--tokens-file / TICKETSVC_TOKENS_FILE: can't be read"},
		"a file of tokens without any": {[]string{database + "11", "--tokens-file=" + file},
			"--tokens-file / TICKETSVC_TOKENS_FILE: holds no token"},
		"a token of two scopes": {[]string{database + "12", "--tokens=read=hush-hush-hush-hush", "--tokens-file=" + tokens},
			"--tokens-file / TICKETSVC_TOKENS_FILE: "},
		"a certificate without a key": {[]string{database + "13", "--tls-cert-file=" + certificate.Certificate},
			"--tls-key-file / TICKETSVC_TLS_KEY_FILE: is missing beside --tls-cert-file"},
		"a key without a certificate": {[]string{database + "14", "--tls-key-file=" + certificate.Key},
			"--tls-cert-file / TICKETSVC_TLS_CERT_FILE: is missing beside --tls-key-file"},
		"a certificate not there": {[]string{database + "18", "--tls-cert-file=/nope", "--tls-key-file=" + certificate.Key},
			"--tls-cert-file / TICKETSVC_TLS_CERT_FILE: can't be read (no such file or directory): name a file"},
		"a key not there": {[]string{database + "19", "--tls-cert-file=" + certificate.Certificate, "--tls-key-file=/nope"},
			"--tls-key-file / TICKETSVC_TLS_KEY_FILE: can't be read (no such file or directory): name a file"},
		"a command that is none": {[]string{"version"}, "use one of serve, backup, restore, erasures, or --version"},
		"a certificate that is none": {[]string{database + "15", "--tls-cert-file=" + tokens, "--tls-key-file=" + certificate.Key},
			"--tls-cert-file / TICKETSVC_TLS_CERT_FILE: or --tls-key-file can't be used"},
		"all pages": {[]string{database + "16", "--cors-origins=*"},
			"--cors-origins / TICKETSVC_CORS_ORIGINS: \"*\" has a wildcard"},
		"a page, not its origin": {[]string{database + "17", "--cors-origins=https://a.example,https://hush@b.example"},
			"\"b.example\" is not an origin"},
		"a time that is no time":         {[]string{"--shutdown-timeout=soon"}, "--shutdown-timeout"},
		"a log level that is none":       {[]string{"--log-level=loud"}, "\"loud\" is not a level: use debug, info"},
		"a log format that is none":      {[]string{"--log-format=xml"}, "--log-format"},
		"a time that is no time to stop": {[]string{"--shutdown-timeout=0s"}, "--shutdown-timeout / TICKETSVC_SHUTDOWN_TIMEOUT: "},
	} {
		t.Run(name, func(t *testing.T) {
			code, lines := fails(t, nil, test.args...)
			if code != settings.ExitSettings || len(lines) != 1 || !strings.Contains(lines[0], test.want) ||
				strings.Contains(lines[0], "hush") {
				t.Errorf("exit code %d, %q; want %d and one line with %q and without tokens", code, lines, settings.ExitSettings, test.want)
			}
		})
	}
}

func TestRun_help(t *testing.T) {
	t.Parallel()
	var stdout strings.Builder
	if code := run(t.Context(), []string{"--help"}, environment(nil), &stdout, io.Discard); code != settings.ExitOK {
		t.Errorf("exit code %d", code)
	}
	help := strings.Join(strings.Fields(stdout.String()), " ")
	for _, want := range []string{"--listen=", "$TICKETSVC_LISTEN", "127.0.0.1:9090", "--admin-listen=", "$TICKETSVC_ADMIN_LISTEN",
		"127.0.0.1:9091", "--database-url=", "$TICKETSVC_DATABASE_URL", "sqlite:data/ticketsvc.db", "--tokens=",
		"$TICKETSVC_TOKENS", "--tokens-file=", "$TICKETSVC_TOKENS_FILE", "--tls-cert-file=", "$TICKETSVC_TLS_CERT_FILE", "--tls-key-file=",
		"$TICKETSVC_TLS_KEY_FILE", "--cors-origins=", "$TICKETSVC_CORS_ORIGINS", "--shutdown-timeout=", "$TICKETSVC_SHUTDOWN_TIMEOUT", "10s",
		"--log-level=", "$TICKETSVC_LOG_LEVEL", "info", "--log-format=", "$TICKETSVC_LOG_FORMAT", "text"} {
		if !strings.Contains(help, want) {
			t.Errorf("help lacks %q:\n%s", want, stdout.String())
		}
	}
}
