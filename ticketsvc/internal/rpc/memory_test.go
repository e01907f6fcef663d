package rpc_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// TestLargeRequestsTakeTurns has as many requests under way as there is room for, each of them as large as it may be for all that is known.
func TestLargeRequestsTakeTurns(t *testing.T) {
	t.Parallel()
	for name, large := range map[string]func(*http.Request){
		"compressed": func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") },
		"long":       func(r *http.Request) { r.ContentLength = rpc.MaxReadBytes },
		"without a length, and not small": func(r *http.Request) {
			r.ContentLength = -1
			r.Body = io.NopCloser(io.MultiReader(strings.NewReader(strings.Repeat(" ", 100_000)), r.Body))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				log := slog.New(slog.DiscardHandler)
				stub := stubStore{call: func(context.Context) error { return nil }}
				service := rpc.New(stub, func(context.Context) error { return nil }, log)
				defer func() { _ = service.Close(context.Background()) }()
				handler := service.NewServer(rpc.Security{}, log).Handler
				call := func(procedure string, body io.Reader, change func(*http.Request)) *httptest.ResponseRecorder {
					request := httptest.NewRequest(http.MethodPost, "http://localhost"+procedure, body)
					request.Header.Set("Content-Type", "application/json")
					change(request)
					answer := httptest.NewRecorder()
					handler.ServeHTTP(answer, request)
					return answer
				}
				answers := make(chan int)
				var senders []*io.PipeWriter
				for range rpc.MaxRequestBytes / rpc.MaxReadBytes {
					body, sender := io.Pipe()
					senders = append(senders, sender)
					go func() { answers <- call(ticketv1connect.TicketEventServiceTicketCreatedProcedure, body, large).Code }()
				}
				synctest.Wait()

				begin := time.Now()
				answer := call(ticketv1connect.TicketEventServiceTicketCreatedProcedure, strings.NewReader("{}"), large)
				var refused struct {
					Code    string
					Details []struct{ Type string }
				}
				if err := json.Unmarshal(answer.Body.Bytes(), &refused); err != nil {
					t.Fatalf("%v in %q", err, answer.Body)
				}
				if took := time.Since(begin); took != rpc.MaxRoomTime || refused.Code != "resource_exhausted" || len(refused.Details) != 1 ||
					refused.Details[0].Type != "google.rpc.RetryInfo" {
					t.Errorf("after %v: %+v, want resource_exhausted with a RetryInfo after %v", took, refused, rpc.MaxRoomTime)
				}
				small := call(ticketv1connect.TicketServiceGetTicketProcedure, strings.NewReader("{}"), func(*http.Request) {})
				if small.Code != http.StatusBadRequest {
					t.Errorf("a small one meanwhile: %d, want %d", small.Code, http.StatusBadRequest)
				}
				for _, sender := range senders {
					_ = sender.Close()
					if code := <-answers; code == http.StatusTooManyRequests {
						t.Errorf("one of the first: %d", code)
					}
				}
				again := call(ticketv1connect.TicketEventServiceTicketCreatedProcedure, strings.NewReader("{}"), large)
				if again.Code == http.StatusTooManyRequests {
					t.Errorf("afterwards: %d", again.Code)
				}
			})
		})
	}
}

// unread is a caller who does not read, until it is told to.
type unread struct {
	*httptest.ResponseRecorder
	reads <-chan struct{}
}

func (u unread) Write(p []byte) (int, error) {
	<-u.reads
	return u.ResponseRecorder.Write(p)
}

// TestRequestsGiveUpTheirRoomBeforeTheyAreAnswered has as many callers who do not read as there is room for their requests.
func TestRequestsGiveUpTheirRoomBeforeTheyAreAnswered(t *testing.T) {
	t.Parallel()
	body := zipped(t, []byte("{}"))
	synctest.Test(t, func(t *testing.T) {
		log := slog.New(slog.DiscardHandler)
		stub := stubStore{call: func(context.Context) error { return nil }}
		service := rpc.New(stub, func(context.Context) error { return nil }, log)
		defer func() { _ = service.Close(context.Background()) }()
		handler := service.NewServer(rpc.Security{}, log).Handler
		call := func(w http.ResponseWriter) {
			request := httptest.NewRequest(http.MethodPost, "http://localhost"+ticketv1connect.TicketServiceListTicketsProcedure,
				bytes.NewReader(body))
			request.Header.Set("Content-Type", "application/json")
			request.Header.Set("Content-Encoding", "gzip")
			handler.ServeHTTP(w, request)
		}
		reads := make(chan struct{})
		var callers sync.WaitGroup
		for range rpc.MaxRequestBytes / rpc.MaxQueryBytes {
			callers.Go(func() { call(unread{httptest.NewRecorder(), reads}) })
		}
		synctest.Wait()
		answer := httptest.NewRecorder()
		call(answer)
		if answer.Code != http.StatusOK {
			t.Errorf("while nobody reads: %d, %s; want %d", answer.Code, answer.Body, http.StatusOK)
		}
		close(reads)
		callers.Wait()
	})
}

// zipped returns what gzip makes of data.
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

// TestOnlyEventsMayBeLarge has requests that are larger than those of their service.
func TestOnlyEventsMayBeLarge(t *testing.T) {
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

func TestABatchMayBeLargerThanAPage(t *testing.T) {
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
