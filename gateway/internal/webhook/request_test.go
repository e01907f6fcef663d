package webhook_test

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	signatureHeader = "x-allthings-signature"
	timestampHeader = "x-allthings-signature-timestamp"
)

// bodyOf returns the body of a good event.
func bodyOf(id string) string { return eventWith(id, `"title":"`+private+`"`) }

// eventWith returns the body of a good event whose ticket has these members.
func eventWith(id, members string) string {
	return `{"event":{"id":"` + id + `","name":"ticket.created","createdDate":"2026-03-02T07:15:30.123Z",` +
		`"urn":"urn:allthings:app:a1:ticket:c1:*","data":{"id":"t1",` + members + `}}}`
}

func mac(key, body string) []byte {
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte(body))
	return h.Sum(nil)
}

func sign(key, body string) string { return hex.EncodeToString(mac(key, body)) }

// at returns the time of the handlers' clocks plus a bit, as a timestamp.
func at(offset time.Duration) string { return strconv.FormatInt(epoch.Add(offset).UnixMilli(), 10) }

// request is a request. Its methods return changed copies, so that a case shows only the differences from a good request.
type request struct {
	line    string
	headers [][2]string
	body    string
}

// unsigned returns a request without a signature.
func unsigned(body string) request {
	return request{line: "POST /webhook HTTP/1.1", body: body, headers: [][2]string{
		{"Host", "gateway.example"}, {"User-Agent", "Allthings"}, {"Content-Type", "application/json"},
		{"Content-Length", strconv.Itoa(len(body))},
	}}
}

// signed returns a good delivery.
func signed(body string) request {
	return unsigned(body).with(signatureHeader, sign(secret, body)).with(timestampHeader, at(0))
}

func (r request) to(line string) request {
	r.line = line
	return r
}

func (r request) without(name string) request {
	r.headers = slices.DeleteFunc(slices.Clone(r.headers), func(h [2]string) bool { return strings.EqualFold(h[0], name) })
	return r
}

func (r request) with(name, value string) request { return r.without(name).and(name, value) }

// and adds a header in addition to those of the same name.
func (r request) and(name, value string) request {
	r.headers = append(slices.Clone(r.headers), [2]string{name, value})
	return r
}

// carrying replaces the body and its length, but not the signature.
func (r request) carrying(body string) request {
	r.body = body
	return r.with("Content-Length", strconv.Itoa(len(body)))
}

// chunked sends the body in chunks of this number of bytes.
func (r request) chunked(size int) request {
	r.body = inChunks(r.body, size)
	return r.without("Content-Length").and("Transfer-Encoding", "chunked")
}

func inChunks(body string, size int) string {
	var b strings.Builder
	for chunk := range slices.Chunk([]byte(body), size) {
		_, _ = fmt.Fprintf(&b, "%x\r\n%s\r\n", len(chunk), chunk)
	}
	return b.String() + "0\r\n\r\n"
}

func (r request) head() string {
	var b strings.Builder
	b.WriteString(r.line + "\r\n")
	for _, h := range r.headers {
		b.WriteString(h[0] + ": " + h[1] + "\r\n")
	}
	return b.String() + "\r\n"
}

func (r request) String() string { return r.head() + r.body }

// answer is an answer as it was sent.
type answer struct {
	// Head is the status line, and the headers except Date in the order of their names.
	Head string
	Body string
	// Closed reports whether the connection was closed after it.
	Closed bool
}

// answers returns the answer that is expected from the handler.
func answers(status int, message string, headers ...string) answer {
	body := fmt.Sprintf(`{"message":%q}`, message)
	headers = append(headers, "Content-Type: application/json", "Content-Length: "+strconv.Itoa(len(body)))
	return answer{
		Head:   head(fmt.Sprintf("HTTP/1.1 %d %s", status, http.StatusText(status)), headers),
		Body:   body,
		Closed: slices.Contains(headers, "Connection: close"),
	}
}

func head(statusLine string, headers []string) string {
	slices.Sort(headers)
	return strings.Join(append([]string{statusLine}, headers...), "\n")
}

func (a answer) status() string {
	_, status, _ := strings.Cut(a.Head, " ")
	return status[:3]
}

var (
	success      = answers(200, "success")
	unauthorized = answers(401, "Invalid signature")
	noSignature  = answers(401, "Invalid signature", "Connection: close")
	malformed    = answers(400, "Malformed event")
	unexpected   = answers(400, "Unexpected event type")
	testEvent    = answers(200, "Received test event.")
	tryLater     = answers(503, "Try again later", "Retry-After: 1")
)

// client is a connection to a handler.
type client struct {
	net.Conn
	reader *bufio.Reader
}

// hangTimeout is how long a client waits. It only ends tests that hang.
const hangTimeout = 20 * time.Second

func (d *harness) dial(tb testing.TB) *client {
	tb.Helper()
	conn, err := new(net.Dialer).DialContext(tb.Context(), "tcp", d.address)
	if err != nil {
		tb.Fatal(err)
	}
	d.connections.noteDialed()
	tb.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(hangTimeout)); err != nil {
		tb.Fatal(err)
	}
	return &client{conn, bufio.NewReader(conn)}
}

func (c *client) mustWrite(tb testing.TB, text string) {
	tb.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		tb.Fatal(err)
	}
}

// mustCloseWrite ends the client's side of the connection. The client can still read.
func (c *client) mustCloseWrite(tb testing.TB) {
	tb.Helper()
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		tb.Fatal(err)
	}
}

// post sends a request on its own connection, and returns the answer.
func (d *harness) post(tb testing.TB, r request) answer {
	tb.Helper()
	for _, h := range r.headers {
		if strings.EqualFold(h[0], signatureHeader) {
			d.forbid(h[1])
		}
	}
	c := d.dial(tb)
	defer func() { _ = c.Close() }()
	c.mustWrite(tb, r.String())
	method, _, _ := strings.Cut(r.line, " ")
	return c.answer(tb, method)
}

// answer reads the answer to a request of this method, and finds out whether the connection is closed after it. Nothing may follow it.
func (c *client) answer(tb testing.TB, method string) answer {
	tb.Helper()
	a, err := c.read(method)
	if err != nil {
		tb.Fatalf("no answer: %v", err)
	}
	if strings.Contains(a.Head, "\nConnection: close") {
		a.Closed = true
	} else {
		_, _ = io.WriteString(c, "GET /another HTTP/1.1\r\nHost: gateway.example\r\nConnection: close\r\n\r\n")
		probe, err := c.read("GET")
		a.Closed = err != nil
		if err == nil && probe.status() != "404" {
			tb.Errorf("the next request on the connection got:\n%s\n%s", probe.Head, probe.Body)
		}
	}
	if rest := c.rest(tb); rest != "" {
		tb.Errorf("something follows the answer: %q", rest)
	}
	return a
}

// read reads one answer.
func (c *client) read(method string) (answer, error) {
	var lines []string
	length := -1
	for {
		line, err := c.reader.ReadString('\n')
		if err != nil {
			return answer{}, err
		}
		line = strings.TrimSuffix(line, "\r\n")
		if line == "" {
			break
		}
		if value, ok := strings.CutPrefix(line, "Content-Length: "); ok {
			if length, err = strconv.Atoi(value); err != nil {
				return answer{}, err
			}
		}
		if !strings.HasPrefix(line, "Date: ") {
			lines = append(lines, line)
		}
	}
	a := answer{Head: head(lines[0], lines[1:])}
	var body []byte
	var err error
	switch {
	case method == http.MethodHead || strings.HasPrefix(a.Head, "HTTP/1.1 1"):
	case length >= 0:
		body = make([]byte, length)
		_, err = io.ReadFull(c.reader, body)
	default:
		body, err = io.ReadAll(c.reader)
	}
	a.Body = string(body)
	return a, err
}

// rest reads until the server closes the connection.
func (c *client) rest(tb testing.TB) string {
	tb.Helper()
	rest, err := io.ReadAll(c.reader)
	if err := ignore(err, syscall.ECONNRESET, syscall.EPIPE); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) || isTimeout(err) {
			tb.Errorf("the connection is not closed: %v", err)
		} else {
			tb.Error(err)
		}
	}
	return string(rest)
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}
