package rpc_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// zipped returns data compressed with gzip.
func zipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var compressed bytes.Buffer
	w := gzip.NewWriter(&compressed)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return compressed.Bytes()
}

// TestRequestBody_onlyEventsMayBeLarge has requests that are larger than the limit of their service.
func TestRequestBody_onlyEventsMayBeLarge(t *testing.T) {
	t.Parallel()
	s := mustServe(t, mustOpenStore(t))
	for path, size := range map[string]int{
		"/grpc.health.v1.Health/Check":                     1 << 17,
		ticketv1connect.TicketServiceGetTicketProcedure:    4 << 20,
		ticketv1connect.TicketServiceWatchTicketsProcedure: 4 << 20,
	} {
		for _, compress := range []bool{false, true} {
			body := []byte(strings.Repeat(" ", size))
			contentType, encoding := "application/json", "Content-Encoding"
			if compress {
				body = zipped(t, body)
			}
			if path == ticketv1connect.TicketServiceWatchTicketsProcedure {
				flags := byte(0)
				if compress {
					flags = 1
				}
				body, contentType, encoding = []byte(frameOf(flags, string(body))), "application/connect+json", "Connect-Content-Encoding"
			}
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+path, bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Content-Type", contentType)
			if compress {
				request.Header.Set(encoding, "gzip")
			}
			response, err := newClient(t, s, "Connect").http.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if err != nil || !bytes.Contains(answer, []byte("resource_exhausted")) {
				t.Errorf("%s of %d bytes, compressed %v: %q, %v; want RESOURCE_EXHAUSTED", path, size, compress, answer, err)
			}
		}
	}
}

func TestBatchGetTickets_largerThanAPage(t *testing.T) {
	t.Parallel()
	store := mustOpenStore(t)
	var changes []ticket.Change
	request := &ticketv1.BatchGetTicketsRequest{}
	for i := range 12 {
		id := fmt.Sprint("t", i)
		changes = append(changes, titled("e"+id, id, int64(i), strings.Repeat("x", 500_000)))
		request.TicketIds = append(request.TicketIds, id)
	}
	mustRecord(t, store, changes...)
	client := newClient(t, mustServe(t, store), "gRPC", connect.WithAcceptCompression("gzip", nil, nil))
	got, err := client.BatchGetTickets(t.Context(), request)
	if err != nil || len(got.GetTickets()) != len(changes) {
		t.Errorf("%d tickets, %v; want %d", len(got.GetTickets()), err, len(changes))
	}
}
