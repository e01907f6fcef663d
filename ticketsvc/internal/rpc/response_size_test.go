package rpc_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"connectrpc.com/connect"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// swollen is a store in which the ticket "huge" is larger than a response may be, and "large" is larger than half of that. "wide" is as
// large as "huge" only in JSON.
type swollen struct{ ticket.Store }

var (
	swelling = strings.Repeat("x", rpc.MaxSendBytes)
	// widening has six times as many bytes in JSON.
	widening = strings.Repeat("\x01", rpc.MaxSendBytes/5)
)

func swell(t *ticket.Ticket) int {
	switch {
	case t == nil:
	case t.ID == "huge":
		t.Description = swelling
	case t.ID == "wide":
		t.Description = widening
	case strings.HasPrefix(t.ID, "large"):
		t.Description = swelling[:rpc.MaxSendBytes*2/3]
	}
	if t == nil {
		return 0
	}
	return len(t.Description)
}

func (s swollen) Get(ctx context.Context, id string, budget ticket.MemoryBudget) (ticket.Ticket, error) {
	t, err := s.Store.Get(ctx, id, budget)
	swell(&t)
	return t, err
}

func (s swollen) BatchGet(ctx context.Context, ids []string, maxBytes int, budget ticket.MemoryBudget) (map[string]ticket.Ticket, error) {
	tickets, err := s.Store.BatchGet(ctx, ids, maxBytes, budget)
	for id, t := range tickets {
		swell(&t)
		tickets[id] = t
	}
	return tickets, err
}

func (s swollen) List(ctx context.Context, filter ticket.Filter, order ticket.Order, after *ticket.Cursor, limit ticket.PageLimit,
) ([]ticket.Ticket, bool, error) {
	tickets, more, err := s.Store.List(ctx, filter, order, after, limit)
	for i := range tickets {
		swell(&tickets[i])
	}
	return tickets, more, err
}

func (s swollen) ReadLog(ctx context.Context, after int64, limit ticket.PageLimit) ([]ticket.Entry, error) {
	entries, err := s.Store.ReadLog(ctx, after, limit)
	for i := range entries {
		entries[i].Weight.Bytes += swell(entries[i].Ticket)
	}
	return entries, err
}

func (s swollen) ReadSnapshot(ctx context.Context, filter ticket.Filter, after string, limit ticket.PageLimit,
) (ticket.SnapshotPage, error) {
	page, err := s.Store.ReadSnapshot(ctx, filter, after, limit)
	for i := range page.Tickets {
		swell(&page.Tickets[i])
	}
	return page, err
}

// expectTooLarge fails if an error and the log do not report that the ticket "huge" is too large.
func expectTooLarge(t *testing.T, s *server, call string, err error) {
	t.Helper()
	if connect.CodeOf(err) != connect.CodeResourceExhausted || !strings.Contains(err.Error(), `"huge"`) ||
		!strings.Contains(err.Error(), "erase") {
		t.Errorf("%s: %.200v, want RESOURCE_EXHAUSTED with the ticket's id and what to do", call, err)
	}
	if log := s.log.take(); strings.Count(log, "level=ERROR") != 1 || !strings.Contains(log, "huge") {
		t.Errorf("%s: log %.500q, want one error with the ticket's id", call, log)
	}
}

func TestCheckSize_oversizedTicket(t *testing.T) {
	t.Parallel()
	for protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			store := mustOpenStore(t)
			mustRecord(t, store, titled("e1", "a", 1, "one"))
			s := mustServe(t, swollen{store})
			c := newClient(t, s, protocol)
			changes := mustWatch(t, c, "", nil)
			changes.expect(t, `a "one"`, "heartbeat")
			mustRecord(t, store, titled("e2", "huge", 2, "two"), titled("e3", "z", 3, "three"))

			changes.expectEnd(t, connect.CodeResourceExhausted)
			expectTooLarge(t, s, "changes", changes.Err())
			snapshot := mustWatch(t, c, "", nil)
			snapshot.expect(t, `a "one"`)
			snapshot.expectEnd(t, connect.CodeResourceExhausted)
			expectTooLarge(t, s, "the snapshot", snapshot.Err())
			_, err := c.GetTicket(t.Context(), &ticketv1.GetTicketRequest{TicketId: "huge"})
			expectTooLarge(t, s, "GetTicket", err)
			_, err = c.BatchGetTickets(t.Context(), &ticketv1.BatchGetTicketsRequest{TicketIds: []string{"a", "huge"}})
			expectTooLarge(t, s, "BatchGetTickets", err)
			_, err = c.ListTickets(t.Context(), &ticketv1.ListTicketsRequest{})
			expectTooLarge(t, s, "ListTickets", err)

			// After the ticket is erased, and the feed has read the erasure, all watchers continue from their positions.
			other := mustWatch(t, c, "", &ticketv1.TicketFilter{AssigneeId: "nobody"})
			other.expect(t, "heartbeat")
			mustErase(t, store, "huge")
			other.expect(t, "huge left: REASON_ERASED")
			again := mustWatch(t, c, changes.token, nil)
			again.expect(t, `3 e3: z "three"`, "huge left: REASON_ERASED")
			again = mustWatch(t, c, snapshot.token, nil)
			again.expect(t, `z "three"`, "heartbeat")
		})
	}
}

func TestCheckSize_oversizedInJSON(t *testing.T) {
	t.Parallel()
	for protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			store := mustOpenStore(t)
			mustRecord(t, store, titled("e1", "a", 1, "one"))
			s := mustServe(t, swollen{store})
			// Nothing is compressed, so that the sent size is the measured size.
			uncompressed := connect.WithAcceptCompression("gzip", nil, nil)
			c := newClient(t, s, protocol, uncompressed, connect.WithProtoJSON())
			if protocol != "gRPC" {
				// The other protocols are tested only for using JSON, because to send this ticket in JSON takes long.
				mustRecord(t, store, titled("e2", "wide", 2, "two"))
				_, err := c.GetTicket(t.Context(), &ticketv1.GetTicketRequest{TicketId: "wide"})
				expectTooWide(t, s, "GetTicket", err)
				return
			}
			changes := mustWatch(t, c, "", nil)
			changes.expect(t, `a "one"`, "heartbeat")
			mustRecord(t, store, titled("e2", "wide", 2, "two"), titled("e3", "z", 3, "three"))

			changes.expectEnd(t, connect.CodeResourceExhausted)
			expectTooWide(t, s, "changes", changes.Err())
			snapshot := mustWatch(t, c, "", nil)
			snapshot.expect(t, `a "one"`)
			snapshot.expectEnd(t, connect.CodeResourceExhausted)
			expectTooWide(t, s, "the snapshot", snapshot.Err())
			_, err := c.GetTicket(t.Context(), &ticketv1.GetTicketRequest{TicketId: "wide"})
			expectTooWide(t, s, "GetTicket", err)
			_, err = c.BatchGetTickets(t.Context(), &ticketv1.BatchGetTicketsRequest{TicketIds: []string{"a", "wide"}})
			expectTooWide(t, s, "BatchGetTickets", err)

			// The ticket fits in protobuf, and a watcher with protobuf continues from the same position.
			again := mustWatch(t, newClient(t, s, "gRPC", uncompressed), changes.token, nil)
			again.expect(t, `2 e2: wide "two"`, `3 e3: z "three"`)
		})
	}
}

// expectTooWide fails if an error and the log do not report that the ticket "wide" is too large in JSON.
func expectTooWide(t *testing.T, s *server, call string, err error) {
	t.Helper()
	if connect.CodeOf(err) != connect.CodeResourceExhausted || !strings.Contains(err.Error(), `"wide"`) ||
		!strings.Contains(err.Error(), "protobuf") || strings.Contains(err.Error(), "erase") {
		t.Errorf("%s: %.200v, want RESOURCE_EXHAUSTED with the ticket's id, and to ask for protobuf", call, err)
	}
	if log := s.log.take(); strings.Count(log, "level=ERROR") != 1 || !strings.Contains(log, "wide") {
		t.Errorf("%s: log %.500q, want one error with the ticket's id", call, log)
	}
}

func TestCheckSize_tooLargeTogether(t *testing.T) {
	t.Parallel()
	store := mustOpenStore(t)
	mustRecord(t, store, titled("e1", "large1", 1, "one"), titled("e2", "large2", 2, "two"))
	// Nothing is compressed, because compression takes long.
	c := newClient(t, mustServe(t, swollen{store}), "gRPC", connect.WithAcceptCompression("gzip", nil, nil))
	if _, err := c.BatchGetTickets(t.Context(), &ticketv1.BatchGetTicketsRequest{TicketIds: []string{"large1"}}); err != nil {
		t.Errorf("one: %v", err)
	}
	_, err := c.BatchGetTickets(t.Context(), &ticketv1.BatchGetTicketsRequest{TicketIds: []string{"large1", "large2"}})
	if connect.CodeOf(err) != connect.CodeResourceExhausted || !strings.Contains(err.Error(), "fewer") ||
		strings.Contains(err.Error(), "erase") {
		t.Errorf("both: %v, want RESOURCE_EXHAUSTED, and to ask for fewer", err)
	}
}

func TestRequestBody_tooLarge(t *testing.T) {
	t.Parallel()
	s := mustServe(t, stubStore{call: func(context.Context) error { return nil }})
	request := created("e", "t", 1)
	for _, test := range []struct {
		bytes int
		want  connect.Code
	}{{7 << 20, 0}, {16<<20 + 1, connect.CodeResourceExhausted}} {
		request.Ticket.Description = strings.Repeat("x", test.bytes)
		for protocol := range protocols {
			for name, options := range map[string][]connect.ClientOption{"as it is": nil, "compressed": {connect.WithSendGzip()}} {
				_, err := newClient(t, s, protocol, options...).TicketCreated(t.Context(), request)
				if err == nil && test.want == 0 {
					continue
				}
				if connect.CodeOf(err) != test.want {
					t.Errorf("%d bytes by %s %s: %v, want %v", test.bytes, protocol, name, err, test.want)
				}
			}
		}
	}
}

// TestRequestBody_gzipBomb sends a quarter of a megabyte that would be a quarter of a gigabyte after decompression.
func TestRequestBody_gzipBomb(t *testing.T) {
	// Not parallel, because it measures the memory that the process allocates.
	const decompressed = 256 << 20
	var bomb bytes.Buffer
	compressor := gzip.NewWriter(&bomb)
	if _, err := io.CopyN(compressor, zeros{}, decompressed); err != nil {
		t.Fatal(err)
	}
	if err := compressor.Close(); err != nil {
		t.Fatal(err)
	}
	// The prefix of each gRPC message: a flag for compression, and the size.
	envelope := binary.BigEndian.AppendUint32([]byte{1}, uint32(bomb.Len()))
	s := mustServe(t, stubStore{call: func(context.Context) error { return nil }})
	for contentType, encoding := range map[string]string{"application/proto": "Content-Encoding", "application/json": "Content-Encoding",
		"application/grpc": "Grpc-Encoding", "application/grpc-web": "Grpc-Encoding"} {
		body, protocol := bomb.Bytes(), "Connect"
		if strings.Contains(contentType, "grpc") {
			body, protocol = slices.Concat(envelope, body), "gRPC"
		}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/allthings.ticket.v1.TicketEventService/TicketCreated",
			bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", contentType)
		request.Header.Set(encoding, "gzip")
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		response, err := newClient(t, s, protocol).http.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(response.Body)
		if err := errors.Join(err, response.Body.Close()); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		// gRPC-Web has the trailers in the body of the response.
		code := response.Header.Get("Grpc-Status") + response.Trailer.Get("Grpc-Status") + string(answer)
		if want := strconv.Itoa(int(connect.CodeResourceExhausted)); !strings.Contains(code, "resource_exhausted") && code != want &&
			!strings.Contains(code, "grpc-status: "+want) {
			t.Errorf("%s: %q, want RESOURCE_EXHAUSTED", contentType, code)
		}
		// Only a service that decompresses the request to its end knows its size.
		said := code + response.Header.Get("Grpc-Message") + response.Trailer.Get("Grpc-Message")
		if strings.Contains(said, strconv.Itoa(decompressed)) {
			t.Errorf("%s: %q, want that nobody knows how large it is", contentType, said)
		}
		// A buffer that grows takes four times its final size, and eight times under the race detector.
		if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 9*rpc.MaxReadBytes {
			t.Errorf("%s: %d bytes were allocated", contentType, allocated)
		}
	}
}

// zeros is an endless file of zeros.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
