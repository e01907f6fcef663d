package webhook_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	_ "modernc.org/sqlite" // reads the file beside the store

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	"github.com/ticketbridge/ticketbridge/gateway/internal/signature"
	"github.com/ticketbridge/ticketbridge/gateway/internal/sqlite"
	"github.com/ticketbridge/ticketbridge/gateway/internal/webhook"
)

func TestMain(m *testing.M) {
	code := m.Run()
	lingering.Wait()
	if err := goleak.Find(); err != nil && code == 0 {
		_, _ = fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// lingering waits for connections that net/http keeps for half a second after an answer that closes them. So tests need not wait for them.
var lingering sync.WaitGroup

const (
	secret         = "whsec-current-3f9a77"
	previousSecret = "whsec-previous-81c2d0"
	retiredSecret  = "whsec-retired-5e6b14"

	// private is in every title and description that the tests post, and accessToken is in every token: neither may get into the log.
	private     = "Heizung kalt bei Familie Muster"
	accessToken = "acctok-9d1f4c7e2b"

	tolerance = 2 * time.Minute
	maxBody   = 1 << 20
)

// epoch is the fixed time of the handlers' clocks.
var epoch = time.Date(2026, 3, 2, 7, 15, 30, 123_000_000, time.UTC)

// setup has the options of a harness.
type setup struct {
	options webhook.Options
	secrets []signature.Secret
	// inbox is the inbox that the handler uses. Nil for the real one.
	inbox webhook.Inbox
	// handler and server change the handler and the server before they serve.
	handler func(*webhook.Handler)
	server  func(*http.Server)
}

// harness is a webhook handler that serves on its own socket, and has a real inbox.
type harness struct {
	address string
	path    string
	inbox   *inbox.Inbox
	store   *sqlite.Store
	// database reads the store's file, on a connection that is not the store's.
	database *sql.DB
	log      *safeBuffer
	// connections are the connections of the server.
	connections *connections

	mu        sync.Mutex
	forbidden []string
}

func mustServe(tb testing.TB, changes ...func(*setup)) *harness {
	tb.Helper()
	d := &harness{
		path: filepath.Join(tb.TempDir(), "gateway.db"), log: &safeBuffer{}, connections: newConnections(),
		forbidden: []string{secret, previousSecret, retiredSecret, private, accessToken},
	}
	every := &slog.HandlerOptions{Level: slog.LevelDebug}
	log := slog.New(slog.NewMultiHandler(slog.NewTextHandler(d.log, every), slog.NewJSONHandler(d.log, every)))

	var err error
	if d.store, err = sqlite.Open(tb.Context(), d.path); err != nil {
		tb.Fatal(err)
	}
	if d.database, err = sql.Open("sqlite", "file:"+(&url.URL{Path: d.path}).EscapedPath()+"?mode=ro"); err != nil {
		tb.Fatal(err)
	}
	d.database.SetMaxOpenConns(1)
	d.inbox = inbox.New(d.store)

	s := setup{
		secrets: []signature.Secret{{Key: secret}, {Key: previousSecret}},
		inbox:   d.inbox,
		handler: func(*webhook.Handler) {},
		server:  func(*http.Server) {},
		options: webhook.Options{
			Path: "/webhook", SignatureHeaders: []string{"x-allthings-signature"}, TimestampTolerance: tolerance,
			BodyOptions: webhook.BodyOptions{MaxBodyBytes: maxBody},
			Now:         func() time.Time { return epoch }, Log: log,
		},
	}
	for _, change := range changes {
		change(&s)
	}
	handler := webhook.NewHandler(s.inbox, signature.NewVerifier(s.secrets...), s.options)
	s.handler(handler)
	server := webhook.NewServer(handler, 620*time.Second, log)
	s.server(server)
	server.ConnState = d.connections.note
	d.serve(tb, server)
	return d
}

// serve serves until the test ends. Then it stops everything, and checks the log.
func (d *harness) serve(tb testing.TB, server *http.Server) {
	tb.Helper()
	listener, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	d.address = listener.Addr().String()
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	tb.Cleanup(func() {
		if err := errors.Join(server.Close(), ignore(<-served, http.ErrServerClosed)); err != nil {
			tb.Error(err)
		}
		lingering.Go(d.connections.waitForAccepted)
		if err := errors.Join(d.inbox.Stop(context.Background()), d.database.Close(), d.store.Close()); err != nil {
			tb.Error(err)
		}
		d.checkLog(tb)
	})
}

// forbid adds strings that may not get into the log. Short strings are left out, because they occur in any text.
func (d *harness) forbid(texts ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, text := range texts {
		if len(text) >= 16 {
			d.forbidden = append(d.forbidden, text)
		}
	}
}

// checkLog fails the test if private data was logged, or a byte that a terminal or a reader of lines would act on.
func (d *harness) checkLog(tb testing.TB) {
	tb.Helper()
	log := d.log.String()
	for _, text := range d.forbidden {
		if strings.Contains(log, text) {
			tb.Errorf("the log holds %q:\n%s", text, log)
		}
	}
	if at := strings.IndexFunc(log, func(r rune) bool { return r < ' ' && r != '\n' }); at >= 0 {
		tb.Errorf("the log holds the control character %q:\n%q", log[at], log)
	}
	for line := range strings.Lines(log) {
		if !strings.HasPrefix(line, "time=") && !strings.HasPrefix(line, `{"time":`) {
			tb.Errorf("a line of the log that is no entry of the gateway: %q", line)
		}
	}
}

// row is the part of a kept delivery that the tests compare.
type row struct {
	State   inbox.State
	Reason  string
	EventID string
	// Body is the body. A long body is replaced, see [brief].
	Body string
}

func pending(eventID, body string) row { return row{inbox.Pending, "", eventID, brief(body)} }

func rejected(reason, eventID, body string) row {
	return row{inbox.Rejected, reason, eventID, brief(body)}
}

// brief returns a body unchanged, or the length and hash of a long one.
func brief(body string) string {
	if len(body) <= 4096 {
		return body
	}
	return fmt.Sprintf("%d bytes with SHA-256 %x", len(body), sha256.Sum256([]byte(body)))
}

// rows returns the kept deliveries, oldest first.
func (d *harness) rows(tb testing.TB) []row {
	tb.Helper()
	result, err := d.database.QueryContext(tb.Context(), "SELECT d.state, d.reason, d.event_id, p.body, p.body IS NULL"+
		" FROM deliveries d LEFT JOIN payloads p ON p.delivery_id = d.id ORDER BY d.id")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = result.Close() }()
	var rows []row
	for result.Next() {
		var r row
		var body []byte
		var none bool
		if err := result.Scan(&r.State, &r.Reason, &r.EventID, &body, &none); err != nil {
			tb.Fatal(err)
		}
		if none {
			tb.Errorf("event %q has no payload", r.EventID)
		}
		r.Body = brief(string(body))
		rows = append(rows, r)
	}
	if err := result.Err(); err != nil {
		tb.Fatal(err)
	}
	if payloads := d.count(tb, "SELECT count(*) FROM payloads"); payloads != len(rows) {
		tb.Errorf("%d payloads for %d deliveries", payloads, len(rows))
	}
	return rows
}

// count returns the number that a query returns.
func (d *harness) count(tb testing.TB, query string, args ...any) int {
	tb.Helper()
	var n int
	if err := d.database.QueryRowContext(tb.Context(), query, args...).Scan(&n); err != nil {
		tb.Fatal(err)
	}
	return n
}

// wantRows fails the test if other rows than these are kept.
func (d *harness) wantRows(tb testing.TB, want ...row) {
	tb.Helper()
	if diff := cmp.Diff(want, d.rows(tb)); diff != "" {
		tb.Errorf("what is kept (-want +got):\n%s", diff)
	}
}

// step is a request, and the expected answer.
type step struct {
	request request
	want    answer
}

// follow posts the steps, one after the other.
func (d *harness) follow(tb testing.TB, steps ...step) {
	tb.Helper()
	for i, s := range steps {
		if diff := cmp.Diff(s.want, d.post(tb, s.request)); diff != "" {
			tb.Errorf("answer %d (-want +got):\n%s", i+1, diff)
		}
	}
}

// connections counts connections, so that a test can wait until the server is done with them.
type connections struct {
	mu                       sync.Mutex
	changed                  sync.Cond
	dialed, accepted, closed int
}

func newConnections() *connections {
	c := &connections{}
	c.changed.L = &c.mu
	return c
}

// note implements [http.Server.ConnState].
func (c *connections) note(_ net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state {
	case http.StateNew:
		c.accepted++
	case http.StateClosed:
		c.closed++
		c.changed.Broadcast()
	}
}

func (c *connections) noteDialed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dialed++
}

// waitForDialed waits until the server is done with every connection that [harness.dial] made.
func (c *connections) waitForDialed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.closed < c.dialed {
		c.changed.Wait()
	}
}

// waitForAccepted waits until the server, which accepts no more, is done with every connection.
func (c *connections) waitForAccepted() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.closed < c.accepted {
		c.changed.Wait()
	}
}

// safeBuffer is a buffer for concurrent writers.
type safeBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

func ignore(err error, ignored ...error) error {
	if slices.ContainsFunc(ignored, func(i error) bool { return errors.Is(err, i) }) {
		return nil
	}
	return err
}
