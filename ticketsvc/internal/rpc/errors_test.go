package rpc_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/encoding/protojson"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/feed"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// stubStore answers every call by its function.
type stubStore struct {
	ticket.Store
	call func(context.Context) error
}

func (s stubStore) Record(ctx context.Context, changes []ticket.Change) ([]ticket.Recorded, error) {
	return make([]ticket.Recorded, len(changes)), s.call(ctx)
}

func (stubStore) DatabaseID() ticket.DatabaseID { return ticket.DatabaseID{1} }

func (stubStore) Watch(ctx context.Context, _ func(), _ func(error)) { <-ctx.Done() }

func (s stubStore) LastMark(ctx context.Context) (ticket.Mark, error) {
	return ticket.Mark{}, s.call(ctx)
}

func (s stubStore) Get(ctx context.Context, _ string) (ticket.Ticket, error) {
	return ticket.Ticket{}, s.call(ctx)
}

func (s stubStore) BatchGet(ctx context.Context, _ []string, _ int) (map[string]ticket.Ticket, error) {
	return nil, s.call(ctx)
}

func (s stubStore) List(ctx context.Context, _ ticket.Filter, _ ticket.Order, _ *ticket.Cursor, _ int) ([]ticket.Ticket, bool, error) {
	return nil, false, s.call(ctx)
}

func (s stubStore) Stats(ctx context.Context, _ ticket.Filter) (ticket.Stats, error) {
	return ticket.Stats{}, s.call(ctx)
}

// wireCodes says what each error is over the wire, and for which a caller is told how long to wait.
var wireCodes = []struct {
	err     error
	want    connect.Code
	retried bool
}{
	{context.Canceled, connect.CodeCanceled, false},
	{context.DeadlineExceeded, connect.CodeDeadlineExceeded, false},
	{ticket.ErrBusy, connect.CodeResourceExhausted, true},
	{ticket.ErrStopping, connect.CodeUnavailable, true},
	{ticket.ErrUnavailable, connect.CodeUnavailable, true},
	{ticket.ErrNotFound, connect.CodeNotFound, false},
	{ticket.ErrHeld, connect.CodeAborted, true},
	{ticket.ErrNewer, connect.CodeAborted, false},
	{ticket.ErrCorrupt, connect.CodeDataLoss, false},
	{feed.ErrPlace, connect.CodeOutOfRange, false},
	{feed.ErrReplaced, connect.CodeUnavailable, true},
	{feed.ErrFull, connect.CodeResourceExhausted, true},
	{feed.ErrBusy, connect.CodeResourceExhausted, true},
	{feed.ErrStopping, connect.CodeUnavailable, true},
	{rpc.ErrSlow, connect.CodeResourceExhausted, true},
	{&ticket.InvalidError{Violations: []ticket.Violation{{Field: "f", Description: "d"}}}, connect.CodeInvalidArgument, false},
	{errors.New("anything else"), connect.CodeInternal, false},
}

// retryDelay returns how long an error asks its caller to wait, 0 when it does not say.
func retryDelay(t *testing.T, err error) time.Duration {
	t.Helper()
	var wire *connect.Error
	if !errors.As(err, &wire) {
		return 0
	}
	for _, detail := range wire.Details() {
		value, err := detail.Value()
		if err != nil {
			t.Fatal(err)
		}
		if info, ok := value.(*errdetails.RetryInfo); ok {
			return info.GetRetryDelay().AsDuration()
		}
	}
	return 0
}

func TestEveryErrorHasItsCodeOverTheWire(t *testing.T) {
	t.Parallel()
	for _, test := range wireCodes {
		for protocol := range protocols {
			t.Run(fmt.Sprintf("%v by %s", test.err, protocol), func(t *testing.T) {
				t.Parallel()
				s := mustServe(t, stubStore{call: func(context.Context) error {
					return fmt.Errorf("of a driver that quotes %s: %w", personal, test.err)
				}})
				c := newClient(t, s, protocol)
				_, getErr := c.GetTicket(t.Context(), &ticketv1.GetTicketRequest{TicketId: "t"})
				_, recordErr := c.TicketCreated(t.Context(), created("e", "t", 1))
				_, statsErr := c.GetTicketStats(t.Context(), &ticketv1.GetTicketStatsRequest{})
				for _, err := range []error{getErr, recordErr, statsErr} {
					if connect.CodeOf(err) != test.want || strings.Contains(err.Error(), personal) {
						t.Errorf("error %v, want %v and nothing of the inner text", err, test.want)
					}
					if delay := retryDelay(t, err); (delay >= time.Second) != test.retried {
						t.Errorf("the caller of %v is to wait for %v; want that it is told: %v", err, delay, test.retried)
					}
				}
			})
		}
	}
}

func TestOneEventThatFailsGetsItsOwnError(t *testing.T) {
	t.Parallel()
	s := mustServe(t, failingStore{})
	c := newClient(t, s, "gRPC")
	if _, err := c.TicketCreated(t.Context(), created("e", "bad", 1)); connect.CodeOf(err) != connect.CodeDataLoss {
		t.Errorf("error %v, want DATA_LOSS", err)
	}
	if log := s.log.String(); !strings.Contains(log, "bad") || strings.Contains(log, personal) {
		t.Errorf("log %q, want the ticket's id and nothing personal", log)
	}
}

type failingStore struct{ stubStore }

func (failingStore) Record(_ context.Context, changes []ticket.Change) ([]ticket.Recorded, error) {
	recorded := make([]ticket.Recorded, len(changes))
	for i := range recorded {
		recorded[i].Err = ticket.ErrCorrupt
	}
	return recorded, nil
}

func TestWhatIsWrongWithARequestIsInItsDetails(t *testing.T) {
	t.Parallel()
	s := mustServe(t, stubStore{})
	for protocol := range protocols {
		request := created("", "t", 1)
		request.FieldMask.Paths = []string{"revision"}
		_, err := newClient(t, s, protocol).TicketCreated(t.Context(), request)
		var wire *connect.Error
		if !errors.As(err, &wire) || wire.Code() != connect.CodeInvalidArgument || len(wire.Details()) != 1 {
			t.Fatalf("%s: %v, want INVALID_ARGUMENT with one detail", protocol, err)
		}
		detail, err := wire.Details()[0].Value()
		if err != nil {
			t.Fatal(err)
		}
		var fields []string
		for _, v := range detail.(*errdetails.BadRequest).GetFieldViolations() {
			fields = append(fields, v.GetField())
		}
		if diff := cmp.Diff([]string{"event.event_id", "field_mask"}, fields); diff != "" {
			t.Errorf("%s: %s", protocol, diff)
		}
	}
}

func TestAPanicIsInternalAndStaysOutOfTheLog(t *testing.T) {
	t.Parallel()
	s := mustServe(t, stubStore{call: func(context.Context) error { panic(personal) }})
	_, err := newClient(t, s, "Connect").GetTicket(t.Context(), &ticketv1.GetTicketRequest{TicketId: "t"})
	if connect.CodeOf(err) != connect.CodeInternal || strings.Contains(err.Error(), personal) {
		t.Errorf("error %v, want INTERNAL and nothing of the panic", err)
	}
	if log := s.log.String(); !strings.Contains(log, "GetTicket") || !strings.Contains(log, "stack") || strings.Contains(log, personal) {
		t.Errorf("log %q, want the procedure and the stack, without the value", log)
	}
}

func TestRequestsOverTheLimitAreRefused(t *testing.T) {
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

// TestABombIsNotInflated sends a quarter of a megabyte that would be a quarter of a gigabyte.
func TestABombIsNotInflated(t *testing.T) {
	// Not in parallel, since it looks at how much memory the process asks for.
	const inflated = 256 << 20
	var bomb bytes.Buffer
	compressor := gzip.NewWriter(&bomb)
	if _, err := io.CopyN(compressor, zeros{}, inflated); err != nil {
		t.Fatal(err)
	}
	if err := compressor.Close(); err != nil {
		t.Fatal(err)
	}
	// What gRPC puts before each message: whether it is compressed, and its size.
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
		// In gRPC-Web's answers the trailers are in the body.
		code := response.Header.Get("Grpc-Status") + response.Trailer.Get("Grpc-Status") + string(answer)
		if want := strconv.Itoa(int(connect.CodeResourceExhausted)); !strings.Contains(code, "resource_exhausted") && code != want &&
			!strings.Contains(code, "grpc-status: "+want) {
			t.Errorf("%s: %q, want RESOURCE_EXHAUSTED", contentType, code)
		}
		// Whoever inflates it to its end knows how large it is.
		said := code + response.Header.Get("Grpc-Message") + response.Trailer.Get("Grpc-Message")
		if strings.Contains(said, strconv.Itoa(inflated)) {
			t.Errorf("%s: %q, want that nobody knows how large it is", contentType, said)
		}
		// A buffer that grows takes four times what it holds in the end, and eight times so under the race detector.
		if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 9*rpc.MaxReadBytes {
			t.Errorf("%s: %d bytes were allocated", contentType, allocated)
		}
	}
}

// zeros is an endless file of zeros.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestACallEndsAtItsDeadlineAndSoDoesItsWork(t *testing.T) {
	t.Parallel()
	for protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			worked := make(chan error, 2)
			s := mustServe(t, stubStore{call: func(ctx context.Context) error {
				<-ctx.Done()
				worked <- ctx.Err()
				return ctx.Err()
			}})
			c := newClient(t, s, protocol)
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if _, err := c.GetTicket(ctx, &ticketv1.GetTicketRequest{TicketId: "t"}); connect.CodeOf(err) != connect.CodeDeadlineExceeded {
				t.Errorf("reading: %v, want DEADLINE_EXCEEDED", err)
			}
			select {
			case err := <-worked:
				// Which of the two is first depends on who looks at the clock first: the caller then hangs up.
				if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
					t.Errorf("the store's work ended with %v", err)
				}
			case <-time.After(10 * time.Second):
				t.Error("the store still works, ten seconds after the deadline")
			}
		})
	}
}

// TestRecordingGoesOnAfterTheDeadline has a deadline pass while an event is being written: whether it is recorded is not for the deadline
// to decide.
func TestRecordingGoesOnAfterTheDeadline(t *testing.T) {
	t.Parallel()
	for protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			release, ended := make(chan struct{}), make(chan error, 1)
			s := mustServe(t, stubStore{call: func(ctx context.Context) error {
				<-release
				ended <- ctx.Err()
				return nil
			}})
			c := newClient(t, s, protocol)
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if _, err := c.TicketCreated(ctx, created("e", "t", 1)); connect.CodeOf(err) != connect.CodeDeadlineExceeded {
				t.Errorf("recording: %v, want DEADLINE_EXCEEDED", err)
			}
			close(release)
			if err := <-ended; err != nil {
				t.Errorf("the commit was told to end: %v", err)
			}
		})
	}
}

func TestATextThatCannotBeLookedForIsNotRepeated(t *testing.T) {
	t.Parallel()
	c := newClient(t, mustServe(t, stubStore{}), "gRPC")
	_, err := c.ListTickets(t.Context(), &ticketv1.ListTicketsRequest{Filter: &ticketv1.TicketFilter{Text: strings.Repeat(personal+" ", 256)}})
	if connect.CodeOf(err) != connect.CodeInvalidArgument || !strings.Contains(err.Error(), "filter.text must have at most 256 bytes") ||
		strings.Contains(err.Error(), personal) {
		t.Errorf("a filter's text: %v", err)
	}
}

func TestPageTokensAreGoodForTheirQueryOnly(t *testing.T) {
	t.Parallel()
	c := newClient(t, mustServe(t, mustOpenStore(t)), "gRPC")
	for i := range 3 {
		if _, err := c.TicketCreated(t.Context(), created(fmt.Sprintf("e%d", i), "t", int64(i))); err != nil {
			t.Fatal(err)
		}
		if _, err := c.TicketCreated(t.Context(), created(fmt.Sprintf("other%d", i), fmt.Sprintf("t%d", i), int64(i))); err != nil {
			t.Fatal(err)
		}
	}
	list := func(token, orderBy string, filter *ticketv1.TicketFilter) (string, error) {
		page, err := c.ListTickets(t.Context(), &ticketv1.ListTicketsRequest{PageSize: 1, PageToken: token, OrderBy: orderBy, Filter: filter})
		return page.GetNextPageToken(), err
	}
	events := func(token, ticketID string) (string, error) {
		page, err := c.ListTicketEvents(t.Context(), &ticketv1.ListTicketEventsRequest{PageSize: 1, PageToken: token, TicketId: ticketID})
		return page.GetNextPageToken(), err
	}
	filter := &ticketv1.TicketFilter{AppIds: []string{"app", "x"}, Text: "heiz kalt"}
	listToken, err := list("", "", filter)
	if err != nil {
		t.Fatal(err)
	}
	eventToken, err := events("", "t")
	if err != nil {
		t.Fatal(err)
	}
	sameFilter := &ticketv1.TicketFilter{AppIds: []string{"x", "app", "app"}, Text: "KALT, heiz"}
	if _, err := list(listToken, "update_time desc", sameFilter); err != nil {
		t.Errorf("the same query, said in another way: %v", err)
	}
	wrong := map[string]func() (string, error){
		"another order": func() (string, error) { return list(listToken, "update_time", filter) },
		"another filter": func() (string, error) {
			return list(listToken, "", &ticketv1.TicketFilter{AppIds: []string{"app"}, Text: "heiz kalt"})
		},
		"another text": func() (string, error) {
			return list(listToken, "", &ticketv1.TicketFilter{AppIds: []string{"app", "x"}, Text: "heiz"})
		},
		"no filter": func() (string, error) { return list(listToken, "", nil) },
		"ids elsewhere": func() (string, error) {
			return list(listToken, "", &ticketv1.TicketFilter{CategoryIds: []string{"app", "x"}, Text: "heiz kalt"})
		},
		"another RPC":          func() (string, error) { return events(listToken, "t") },
		"another RPC's":        func() (string, error) { return list(eventToken, "", filter) },
		"another ticket":       func() (string, error) { return events(eventToken, "t1") },
		"with something added": func() (string, error) { return events(eventToken+"AA", "t") },
		"with padding":         func() (string, error) { return events(eventToken+"=", "t") },
		"with a line break":    func() (string, error) { return events(eventToken+"\n", "t") },
		"cut short":            func() (string, error) { return events(eventToken[:len(eventToken)-4], "t") },
	}
	raw, err := base64.RawURLEncoding.DecodeString(listToken)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		changed := bytes.Clone(raw)
		changed[i] ^= 1
		wrong[fmt.Sprintf("byte %d changed", i)] = func() (string, error) {
			return list(base64.RawURLEncoding.EncodeToString(changed), "", filter)
		}
	}
	for name, call := range wrong {
		if _, err := call(); connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Errorf("a token %s: %v, want INVALID_ARGUMENT", name, err)
		}
	}
}

func FuzzPageToken(f *testing.F) {
	log := slog.New(slog.DiscardHandler)
	service := rpc.New(stubStore{call: func(context.Context) error { return nil }}, func(context.Context) error { return nil }, log)
	f.Cleanup(func() { _ = service.Close(context.Background()) })
	handler := service.NewServer(rpc.Security{}, log).Handler
	f.Add("")
	f.Add("AQ")
	f.Add(base64.RawURLEncoding.EncodeToString(append([]byte{1}, make([]byte, 40)...)))
	f.Fuzz(func(t *testing.T, token string) {
		body, err := protojson.Marshal(&ticketv1.ListTicketsRequest{PageToken: token})
		if err != nil {
			return // Not UTF-8, which no client can send.
		}
		request := httptest.NewRequest(http.MethodPost, "http://localhost/allthings.ticket.v1.TicketService/ListTickets", bytes.NewReader(body))
		request.Header.Set("Content-Type", "application/json")
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		if wantStatus := map[bool]int{true: http.StatusOK, false: http.StatusBadRequest}[token == ""]; answer.Code != wantStatus {
			t.Errorf("token %q: status %d, want %d", token, answer.Code, wantStatus)
		}
	})
}

func TestRequestsThatCannotBeReadAreNotRepeated(t *testing.T) {
	t.Parallel()
	service := rpc.New(stubStore{}, func(context.Context) error { return nil }, slog.New(slog.DiscardHandler))
	t.Cleanup(func() { _ = service.Close(context.Background()) })
	server := httptest.NewServer(service.NewServer(rpc.Security{}, slog.New(slog.DiscardHandler)).Handler)
	t.Cleanup(server.Close)
	for name, request := range map[string]string{
		"a text for a number": `{"ticket": {"commentCount": "Max Muster"}}`,
		"a text for a time":   `{"ticket": {"createTime": "Max Muster"}}`,
		"no JSON":             `{"ticket": Max Muster}`,
		"a text for an enum":  `{"ticket": {"status": "Max Muster"}}`,
	} {
		for _, contentType := range []string{"application/json", "application/json; charset=utf-8"} {
			t.Run(name+" as "+contentType, func(t *testing.T) {
				t.Parallel()
				response, err := server.Client().Post(server.URL+"/allthings.ticket.v1.TicketEventService/TicketUpdated", contentType,
					strings.NewReader(request))
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = response.Body.Close() }()
				var answer bytes.Buffer
				if _, err := answer.ReadFrom(response.Body); err != nil {
					t.Fatal(err)
				}
				if response.StatusCode != http.StatusBadRequest || strings.Contains(answer.String(), "Max") ||
					!strings.Contains(answer.String(), "invalid_argument") {
					t.Errorf("%d %s, want 400 invalid_argument without what was sent", response.StatusCode, &answer)
				}
			})
		}
	}
}
