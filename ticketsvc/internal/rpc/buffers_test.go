//go:build linux

package rpc_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"connectrpc.com/connect"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc"
)

// TestServer_memoryOfCallsBeforeTheirRequest has a caller that begins many calls and sends nothing of their requests. Most of these calls
// are counted with a few kilobytes.
func TestServer_memoryOfCallsBeforeTheirRequest(t *testing.T) {
	if url := os.Getenv(servedDatabase); url != "" {
		serveAlone(t, url)
	}
	t.Parallel()
	url := "sqlite:" + filepath.Join(t.TempDir(), "tickets.db")
	store := mustOpenURL(t, url)
	mustRecord(t, store, titled("large", "large", 1, strings.Repeat("x", 7<<20)))
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	var manyHeaders strings.Builder
	for i := range 6000 {
		fmt.Fprintf(&manyHeaders, "X%x:1\r\n", i)
	}
	for name, attack := range map[string]struct {
		procedure, contentType, headers string
		calls                           int
		// reading is set if a large ticket is read before each call.
		reading bool
	}{
		"buffers of large answers": {ticketv1connect.TicketServiceGetTicketProcedure, "application/proto", "", 150, true},
		"many headers": {ticketv1connect.TicketServiceWatchTicketsProcedure, "application/connect+proto", manyHeaders.String(),
			700, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := startAlone(t, url)
			c := newClient(t, &server{url: "http://" + s.address}, "Connect", connect.WithInterceptors(shows(tokens["read"])))
			for range attack.calls {
				if attack.reading {
					if _, err := c.GetTicket(t.Context(), &ticketv1.GetTicketRequest{TicketId: "large"}); err != nil {
						t.Fatal(err)
					}
				}
				conn, err := net.Dial("tcp", s.address)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = conn.Close() }()
				header := "POST " + attack.procedure + " HTTP/1.1\r\nHost: " + s.address + "\r\nAuthorization: Bearer " + tokens["read"] +
					"\r\nContent-Type: " + attack.contentType + "\r\n" + attack.headers + "Content-Length: 100\r\nExpect: 100-continue\r\n\r\n"
				if _, err := io.WriteString(conn, header); err != nil {
					t.Fatal(err)
				}
				// The service sends this when it begins to read the request, or rejects it.
				if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
					t.Fatal(err)
				}
			}
			peak := s.peak()
			t.Logf("%d MiB", peak)
			if peak > maxPeak*raceMemory {
				t.Errorf("the service took %d MiB, want at most %d", peak, maxPeak)
			}
		})
	}
}

// TestCodecs_takeNoEarlierBuffers is about callers that do not read: while Connect writes, it holds the buffer that it gave to a
// codec or to gzip, and this buffer can have 8 MiB.
func TestCodecs_takeNoEarlierBuffers(t *testing.T) {
	t.Parallel()
	for _, codec := range []connect.Codec{rpc.ProtoCodec, rpc.JSONCodec} {
		if _, ok := codec.(interface {
			MarshalAppend(to []byte, message any) ([]byte, error)
		}); ok {
			t.Errorf("Connect gives %q buffers", codec.Name())
		}
		if _, err := codec.Marshal("no message"); err == nil {
			t.Errorf("%q writes something else than a message", codec.Name())
		}
	}
	var left bytes.Buffer
	left.Grow(8 << 20)
	compressor := rpc.NewCompressor()
	compressor.Reset(&left)
	if _, err := compressor.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := compressor.Close(); err != nil || left.Len() == 0 || left.Cap() > 1<<10 {
		t.Errorf("gzip writes %d bytes, %v, into a buffer of %d", left.Len(), err, left.Cap())
	}
}
