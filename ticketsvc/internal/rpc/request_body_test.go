package rpc_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/internal/elements"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc"
)

// strs returns n short strings, all different.
func strs(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprint("a", i)
	}
	return all
}

// withElements returns a valid event with that many elements, nearly all of them in one place.
func withElements(place string, n int) *ticketv1.TicketCreatedRequest {
	ticket := &ticketv1.Ticket{TicketId: "t"}
	request := &ticketv1.TicketCreatedRequest{Ticket: ticket, FieldMask: &fieldmaskpb.FieldMask{},
		Event: &ticketv1.EventMetadata{EventId: fmt.Sprint(place, n), OccurTime: at(0)}}
	name := func(paths ...string) { request.FieldMask.Paths = paths }
	switch n--; place {
	case "custom_settings":
		name(place)
		for range n {
			ticket.CustomSettings = append(ticket.CustomSettings, &ticketv1.CustomSetting{})
		}
	case "attributes of a setting":
		name("custom_settings")
		ticket.CustomSettings = []*ticketv1.CustomSetting{{Attributes: map[string]string{}}}
		for _, key := range strs(n - 1) {
			ticket.CustomSettings[0].Attributes[key] = "1"
		}
	case "attributes":
		name(place)
		ticket.Attributes = map[string]string{}
		for _, key := range strs(n) {
			ticket.Attributes[key] = "1"
		}
	case "tags":
		name(place)
		ticket.Tags = make([]string, n)
	case "field_mask":
		for range n + 1 {
			request.FieldMask.Paths = append(request.FieldMask.Paths, "title")
		}
	}
	return request
}

func TestRequestBody_maxElements(t *testing.T) {
	t.Parallel()
	s := mustServe(t, mustOpenStore(t))
	for name, options := range map[string][]connect.ClientOption{
		"protobuf": nil, "gzip": {connect.WithSendGzip()}, "JSON": {connect.WithProtoJSON()},
		"JSON, gzip": {connect.WithProtoJSON(), connect.WithSendGzip()},
	} {
		for _, protocol := range []string{"Connect", "gRPC", "gRPC-Web"} {
			c := newClient(t, s, protocol, options...)
			for _, place := range []string{"custom_settings", "attributes of a setting", "attributes", "tags", "field_mask"} {
				if _, err := c.TicketCreated(t.Context(), withElements(place, elements.Max)); err != nil {
					t.Errorf("%s, %s: %d in %s: %v", protocol, name, elements.Max, place, err)
				}
				_, err := c.TicketCreated(t.Context(), withElements(place, elements.Max+1))
				if connect.CodeOf(err) != connect.CodeInvalidArgument || !strings.Contains(err.Error(), "elements") {
					t.Errorf("%s, %s: %d in %s: %v, want INVALID_ARGUMENT", protocol, name, elements.Max+1, place, err)
				}
			}
			queries := map[string]func() error{
				"BatchGetTickets": func() error {
					_, err := c.BatchGetTickets(t.Context(), &ticketv1.BatchGetTicketsRequest{TicketIds: strs(elements.Max + 1)})
					return err
				},
				"ListTickets": func() error {
					statuses := make([]ticketv1.TicketStatus, elements.Max+1)
					_, err := c.ListTickets(t.Context(), &ticketv1.ListTicketsRequest{Filter: &ticketv1.TicketFilter{Statuses: statuses}})
					return err
				},
				"WatchTickets": func() error {
					stream, err := c.WatchTickets(t.Context(), &ticketv1.WatchTicketsRequest{
						Filter: &ticketv1.TicketFilter{AppIds: make([]string, elements.Max+1)}})
					if err != nil {
						return err
					}
					stream.Receive()
					_ = stream.Close()
					return stream.Err()
				},
			}
			for query, call := range queries {
				if err := call(); connect.CodeOf(err) != connect.CodeInvalidArgument || !strings.Contains(err.Error(), "elements") {
					t.Errorf("%s, %s: %s: %v, want INVALID_ARGUMENT", protocol, name, query, err)
				}
			}
		}
	}
}

// TestRequestBody_get has the message in the URL, in each of its encodings.
func TestRequestBody_get(t *testing.T) {
	t.Parallel()
	store := mustOpenStore(t)
	mustRecord(t, store, titled("e1", "t1", 1, "Lift"))
	s := mustServe(t, store)
	request := &ticketv1.GetTicketRequest{TicketId: "t1"}
	binary, err := proto.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	text, err := protojson.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	many := []byte(`{"ticketIds":["` + strings.Join(strs(elements.Max+1), `","`) + `"]}`)
	padded, unpadded := base64.URLEncoding, base64.RawURLEncoding
	for name, test := range map[string]struct {
		procedure, query string
		status           int
		want             string
	}{
		"JSON":       {"GetTicket", "encoding=json&message=" + url.QueryEscape(string(text)), http.StatusOK, "Lift"},
		"protobuf":   {"GetTicket", "encoding=proto&base64=1&message=" + padded.EncodeToString(binary), http.StatusOK, "Lift"},
		"no padding": {"GetTicket", "encoding=proto&base64=1&message=" + unpadded.EncodeToString(binary), http.StatusOK, "Lift"},
		"gzip": {"GetTicket", "encoding=json&base64=1&compression=gzip&message=" + unpadded.EncodeToString(zipped(t, text)),
			http.StatusOK, "Lift"},
		"no base64":  {"GetTicket", "encoding=json&base64=1&message=*", http.StatusBadRequest, "base64"},
		"no gzip":    {"GetTicket", "encoding=json&compression=gzip&message={}", http.StatusBadRequest, "gzip"},
		"other":      {"GetTicket", "encoding=json&compression=br&message={}", http.StatusNotImplemented, "unknown compression"},
		"no message": {"GetTicket", "encoding=json", http.StatusBadRequest, "missing message parameter"},
		"too many elements": {"BatchGetTickets", "encoding=json&base64=1&compression=gzip&message=" + unpadded.EncodeToString(zipped(t, many)),
			http.StatusBadRequest, "elements"},
		"too large": {"GetTicket", "encoding=json&base64=1&compression=gzip&message=" +
			unpadded.EncodeToString(zipped(t, bytes.Repeat([]byte(" "), rpc.MaxQueryBytes+1))), http.StatusTooManyRequests, "larger than"},
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
			s.url+"/allthings.ticket.v1.TicketService/"+test.procedure+"?connect=v1&"+test.query, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := newClient(t, s, "Connect").http.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != test.status || !bytes.Contains(answer, []byte(test.want)) {
			t.Errorf("%s: %d %q, %v; want %d with %q", name, response.StatusCode, answer, err, test.status, test.want)
		}
	}
}

// limited is a service in a synctest bubble. All its calls come from the same address.
type limited struct{ handler http.Handler }

// newLimited returns a service with an empty store, and the function that closes it.
func newLimited() (limited, func()) {
	log := slog.New(slog.DiscardHandler)
	service := rpc.New(stubStore{call: func(context.Context) error { return nil }}, func(context.Context) error { return nil }, log)
	return limited{service.NewServer(rpc.Security{}, log).Handler}, func() { _ = service.Close(context.Background()) }
}

func (l limited) call(w http.ResponseWriter, procedure string, body io.Reader, change func(*http.Request)) {
	request := httptest.NewRequest(http.MethodPost, "http://localhost"+procedure, body)
	request.Header.Set("Content-Type", "application/json")
	change(request)
	l.handler.ServeHTTP(w, request)
}

const record, list = ticketv1connect.TicketEventServiceTicketCreatedProcedure, ticketv1connect.TicketServiceListTicketsProcedure

// TestRequestBody_holdsNothingBeforeItsBytesArrive has calls to both services that announce large requests and send nothing.
func TestRequestBody_holdsNothingBeforeItsBytesArrive(t *testing.T) {
	t.Parallel()
	event := []byte(`{"event":{"eventId":"e","occurTime":"2026-01-01T00:00:00Z"},"ticket":{"ticketId":"t","title":"` +
		strings.Repeat("x", 8<<20) + `"},"fieldMask":"title"}`)
	synctest.Test(t, func(t *testing.T) {
		l, closeService := newLimited()
		defer closeService()
		var senders []*io.PipeWriter
		var callers sync.WaitGroup
		for i := range 256 {
			body, sender := io.Pipe()
			senders = append(senders, sender)
			callers.Go(func() {
				l.call(httptest.NewRecorder(), []string{record, list}[i%2], body, func(r *http.Request) {
					if r.ContentLength = rpc.MaxReadBytes; i%4 < 2 {
						r.ContentLength = rpc.MaxQueryBytes
						r.Header.Set("Content-Encoding", "gzip")
					}
				})
			})
		}
		synctest.Wait()
		begin := time.Now()
		for procedure, body := range map[string][]byte{record: event, list: []byte(strings.Repeat(" ", 1<<20) + "{}")} {
			answer := httptest.NewRecorder()
			l.call(answer, procedure, bytes.NewReader(body), func(*http.Request) {})
			if answer.Code != http.StatusOK || time.Since(begin) != 0 {
				t.Errorf("%s: %d after %v: %s", procedure, answer.Code, time.Since(begin), answer.Body)
			}
		}
		for _, sender := range senders {
			_ = sender.Close()
		}
		callers.Wait()
	})
}

// TestRequestBody_waitsForMemory has a batch that takes all the memory for events when its first bytes arrive, and queries that take all
// the memory for queries step by step.
func TestRequestBody_waitsForMemory(t *testing.T) {
	t.Parallel()
	sending := map[string]string{record: ticketv1connect.TicketEventServiceRecordTicketEventsProcedure, list: list}
	for procedure, senderBytes := range map[string][]int{record: {1024}, list: {1 << 20, 1 << 20}} {
		t.Run(procedure, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l, closeService := newLimited()
				defer closeService()
				var senders []*io.PipeWriter
				var callers sync.WaitGroup
				for _, n := range senderBytes {
					body, sender := io.Pipe()
					senders = append(senders, sender)
					callers.Go(func() {
						l.call(httptest.NewRecorder(), sending[procedure], body, func(r *http.Request) {
							r.ContentLength = map[string]int64{record: elements.MaxBatchBytes, list: rpc.MaxQueryBytes}[procedure]
						})
					})
					go func() { _, _ = sender.Write(bytes.Repeat([]byte(" "), n)) }()
				}
				synctest.Wait()
				begin := time.Now()
				refused := httptest.NewRecorder()
				l.call(refused, procedure, strings.NewReader(strings.Repeat(" ", rpc.MaxQueryBytes-2)+"{}"), func(*http.Request) {})
				var failure struct{ Code string }
				if err := json.Unmarshal(refused.Body.Bytes(), &failure); err != nil {
					t.Fatalf("%v in %q", err, refused.Body)
				}
				if took := time.Since(begin); took < rpc.MaxMemoryWait/2 || took > rpc.MaxMemoryWait ||
					failure.Code != "resource_exhausted" || !strings.Contains(refused.Body.String(), "google.rpc.RetryInfo") {
					t.Errorf("after %v: %s, want resource_exhausted with a RetryInfo after %v at most", took, refused.Body, rpc.MaxMemoryWait)
				}
				// The other service has its own memory.
				other := map[string]string{record: list, list: record}[procedure]
				begin = time.Now()
				answer := httptest.NewRecorder()
				l.call(answer, other, strings.NewReader(strings.Repeat(" ", 1<<20)+"{}"), func(*http.Request) {})
				if answer.Code == http.StatusTooManyRequests || time.Since(begin) != 0 {
					t.Errorf("%s meanwhile: %d after %v", other, answer.Code, time.Since(begin))
				}
				for _, sender := range senders {
					_ = sender.Close()
				}
				callers.Wait()
				again := httptest.NewRecorder()
				l.call(again, procedure, strings.NewReader(strings.Repeat(" ", 1<<20)+"{}"), func(*http.Request) {})
				if again.Code == http.StatusTooManyRequests {
					t.Errorf("afterwards: %d, %s", again.Code, again.Body)
				}
			})
		})
	}
}

// unread is a caller that does not read until the test lets it.
type unread struct {
	*httptest.ResponseRecorder
	reads <-chan struct{}
}

func (u unread) Write(p []byte) (int, error) {
	<-u.reads
	return u.ResponseRecorder.Write(p)
}

// TestRequestBody_releasesMemoryBeforeTheResponse has many callers that do not read.
func TestRequestBody_releasesMemoryBeforeTheResponse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, closeService := newLimited()
		defer closeService()
		call := func(w http.ResponseWriter) {
			l.call(w, list, strings.NewReader(strings.Repeat(" ", 1<<20)+"{}"), func(*http.Request) {})
		}
		reads := make(chan struct{})
		var callers sync.WaitGroup
		for range 16 {
			callers.Go(func() { call(unread{httptest.NewRecorder(), reads}) })
			synctest.Wait()
		}
		answer := httptest.NewRecorder()
		call(answer)
		if answer.Code != http.StatusOK {
			t.Errorf("while nobody reads: %d, %s; want %d", answer.Code, answer.Body, http.StatusOK)
		}
		close(reads)
		callers.Wait()
	})
}

// TestRequestBody_gzip has requests whose encoding is not the announced one.
func TestRequestBody_gzip(t *testing.T) {
	t.Parallel()
	s := mustServe(t, mustOpenStore(t))
	good := zipped(t, []byte("{}"))
	for name, test := range map[string]struct {
		contentType, header, body string
		want                      connect.Code
	}{
		"nothing":                {"application/json", "Content-Encoding", "", connect.CodeInvalidArgument},
		"good":                   {"application/json", "Content-Encoding", string(good), 0},
		"no gzip":                {"application/json", "Content-Encoding", "{}", connect.CodeInvalidArgument},
		"cut":                    {"application/json", "Content-Encoding", string(good[:len(good)-1]), connect.CodeInvalidArgument},
		"a frame":                {"application/grpc-web+json", "Grpc-Encoding", frameOf(1, string(good)), 0},
		"a frame, not gzip":      {"application/grpc-web+json", "Grpc-Encoding", frameOf(1, "{}"), connect.CodeInvalidArgument},
		"a frame that is plain":  {"application/grpc-web+json", "Grpc-Encoding", frameOf(0, "{}"), 0},
		"a frame, not announced": {"application/grpc-web+json", "X", frameOf(1, string(good)), connect.CodeInvalidArgument},
		"two frames":             {"application/grpc-web+json", "X", frameOf(0, "{}") + frameOf(0, "{}"), connect.CodeUnimplemented},
		"no frame":               {"application/grpc-web+json", "X", "", connect.CodeUnimplemented},
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+list, strings.NewReader(test.body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", test.contentType)
		request.Header.Set(test.header, "gzip")
		response, err := newClient(t, s, "Connect").http.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		status := response.Header.Get("Grpc-Status")
		if i := bytes.Index(answer, []byte("grpc-status: ")); i >= 0 {
			status, _, _ = strings.Cut(string(answer[i+len("grpc-status: "):]), "\r")
		}
		got := status == fmt.Sprint(int(test.want))
		if test.contentType == "application/json" {
			got = (test.want == 0) == (response.StatusCode == http.StatusOK) &&
				(test.want == 0 || bytes.Contains(answer, []byte(test.want.String())))
		}
		if err != nil || !got {
			t.Errorf("%s: %d, status %q, %q, %v; want %v", name, response.StatusCode, status, answer, err, test.want)
		}
	}
}
