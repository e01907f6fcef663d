package rpc_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc"
)

// TestServer_ambiguousFraming smuggles a second call after the first. Wherever a proxy sees the end of the first one, the second must not
// be answered.
func TestServer_ambiguousFraming(t *testing.T) {
	t.Parallel()
	open := mustServe(t, mustOpenStore(t))
	guarded := mustServeSecurely(t, mustOpenStore(t), rpc.Security{Tokens: mustCredentials(t)})
	pages := mustServeSecurely(t, mustOpenStore(t), rpc.Security{Origins: []string{"https://tickets.example.com"}})
	const body, chunks = "{}", "2\r\n{}\r\n0\r\n\r\n"
	call := func(version, headers, body string) string {
		return "POST " + ticketv1connect.TicketServiceListTicketsProcedure + " HTTP/" + version + "\r\nHost: localhost\r\n" +
			"Content-Type: application/json\r\nAuthorization: Bearer hush\r\n" + headers + "\r\n" + body
	}
	smuggled := call("1.1", "Content-Length: 2\r\n", body)
	for name, s := range map[string]*server{"open": open, "without a token": guarded, "for pages": pages} {
		for framing, test := range map[string]struct {
			request string
			answers int
		}{
			"a length over both, and chunks": {call("1.1", fmt.Sprintf("Content-Length: %d\r\nTransfer-Encoding: chunked\r\n",
				len(chunks+smuggled)), chunks), 1},
			"chunks, and a length over both": {call("1.1", fmt.Sprintf("Transfer-Encoding: chunked\r\nContent-Length: %d\r\n",
				len(chunks+smuggled)), chunks), 1},
			"a length within the chunks": {call("1.1", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", chunks), 1},
			"HTTP/1.0 with both":         {call("1.0", "Connection: keep-alive\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n", body), 1},
			"two lengths":                {call("1.1", "Content-Length: 2\r\nContent-Length: 3\r\n", body), 1},
			"a length alone":             {call("1.1", "Content-Length: 2\r\n", body), 2},
		} {
			t.Run(name+", "+framing, func(t *testing.T) {
				t.Parallel()
				conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = conn.Close() }()
				if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
					t.Fatal(err)
				}
				// The last request that is answered ends the connection.
				last := strings.Replace(smuggled, "Content-Type", "Connection: close\r\nContent-Type", 1)
				if _, err := io.WriteString(conn, test.request+last); err != nil {
					t.Fatal(err)
				}
				// The connection may be reset after the response, because of the part that was not read.
				answered, _ := io.ReadAll(conn)
				if got := strings.Count(string(answered), "HTTP/1."); got != test.answers {
					t.Errorf("%d answers, want %d: %q", got, test.answers, answered)
				}
			})
		}
	}
}
