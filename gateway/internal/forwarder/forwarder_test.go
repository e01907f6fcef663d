package forwarder_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	gocmp "github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"github.com/ticketbridge/ticketbridge/gateway/internal/forwarder"
	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	"github.com/ticketbridge/ticketbridge/gateway/internal/sqlite"
	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ticketsvc is a server of the contract. A test decides its answers.
type ticketsvc struct {
	ticketv1connect.UnimplementedTicketEventServiceHandler

	answer func(eventID string, call int) error

	// answerBatch, if set, answers a call of RecordTicketEvents as a whole. It gets the answer for its events.
	answerBatch func(ids []string, response *ticketv1.RecordTicketEventsResponse) error

	mu    sync.Mutex
	calls map[string]int
	// batches has the ids of the events of each call of RecordTicketEvents.
	batches [][]string
}

func (s *ticketsvc) handle(eventID string) error {
	s.mu.Lock()
	s.calls[eventID]++
	call := s.calls[eventID]
	s.mu.Unlock()
	if s.answer == nil {
		return nil
	}
	return s.answer(eventID, call)
}

func (s *ticketsvc) TicketCreated(_ context.Context, r *ticketv1.TicketCreatedRequest) (*ticketv1.TicketCreatedResponse, error) {
	return &ticketv1.TicketCreatedResponse{}, s.handle(r.GetEvent().GetEventId())
}

func (s *ticketsvc) TicketUpdated(_ context.Context, r *ticketv1.TicketUpdatedRequest) (*ticketv1.TicketUpdatedResponse, error) {
	return &ticketv1.TicketUpdatedResponse{}, s.handle(r.GetEvent().GetEventId())
}

func (s *ticketsvc) RecordTicketEvents(_ context.Context, r *ticketv1.RecordTicketEventsRequest,
) (*ticketv1.RecordTicketEventsResponse, error) {
	response := recordedAll(r)
	var ids []string
	for i, e := range r.GetEvents() {
		id := cmp.Or(e.GetCreated().GetEvent(), e.GetUpdated().GetEvent()).GetEventId()
		ids = append(ids, id)
		if err := s.handle(id); err != nil {
			response.Results[i].Result = &ticketv1.TicketEventResult_Error{Error: eventError(err)}
		}
	}
	s.mu.Lock()
	s.batches = append(s.batches, ids)
	s.mu.Unlock()
	if s.answerBatch != nil {
		return response, s.answerBatch(ids, response)
	}
	return response, nil
}

// eventError is an error as the result of one event of several.
func eventError(err error) *ticketv1.TicketEventError {
	var connectErr *connect.Error
	errors.As(err, &connectErr)
	result := &ticketv1.TicketEventError{Code: int32(connectErr.Code()), Message: connectErr.Message()}
	for _, detail := range connectErr.Details() {
		if value, err := detail.Value(); err == nil {
			if info, ok := value.(*errdetails.RetryInfo); ok {
				result.RetryDelay = info.GetRetryDelay()
			}
		}
	}
	return result
}

func (s *ticketsvc) callsOf(eventID string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[eventID]
}

// batchSizes returns the number of events of each call of RecordTicketEvents.
func (s *ticketsvc) batchSizes() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	var sizes []int
	for _, ids := range s.batches {
		sizes = append(sizes, len(ids))
	}
	return sizes
}

func newTicketsvc(answer func(eventID string, call int) error) *ticketsvc {
	return &ticketsvc{answer: answer, calls: map[string]int{}}
}

func (s *ticketsvc) handler() http.Handler {
	_, handler := ticketv1connect.NewTicketEventServiceHandler(s)
	return handler
}

// box is an inbox over SQLite that notifies when outcomes were written.
type box struct {
	*inbox.Inbox
	path     string
	finished chan struct{}
	// failures is the number of times that Finish is still to fail, as if the database were unavailable.
	failures atomic.Int32
}

func (b *box) Finish(ctx context.Context, now time.Time, outcomes []inbox.Outcome) (int, error) {
	if b.failures.Add(-1) >= 0 {
		return 0, inbox.ErrUnavailable
	}
	lost, err := b.Inbox.Finish(ctx, now, outcomes)
	select {
	case b.finished <- struct{}{}:
	default:
	}
	return lost, err
}

func newBox(t *testing.T) *box {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gateway.db")
	store, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	b := &box{Inbox: inbox.New(store), path: path, finished: make(chan struct{}, 1)}
	t.Cleanup(func() {
		if err := errors.Join(b.Stop(context.Background()), store.Close()); err != nil {
			t.Error(err)
		}
	})
	return b
}

// body is a delivery that can be mapped.
func body(eventID string) string {
	return fmt.Sprintf(`{"event":{"id":%q,"name":"ticket.created","createdDate":"2026-03-02T07:15:30Z",`+
		`"urn":"urn:allthings:app:a:ticket:c:*",`+
		`"data":{"id":"t-%s","title":"x","description":"","status":"closed"}}}`, eventID, eventID)
}

func (b *box) add(t *testing.T, eventID, body string) {
	t.Helper()
	b.addWith(t, eventID, body, inbox.Headers{})
}

func (b *box) addWith(t *testing.T, eventID, body string, headers inbox.Headers) {
	t.Helper()
	if _, err := b.Accept(t.Context(), inbox.Incoming{EventID: eventID, EventName: "ticket.created", TicketID: "t-" + eventID,
		ReceiveTime: time.Now(), Headers: headers, Body: []byte(body), BodyHash: sha256.Sum256([]byte(body))}); err != nil {
		t.Error(err)
	}
}

func (b *box) addMany(t *testing.T, n int) {
	t.Helper()
	var adders sync.WaitGroup
	for i := range n {
		adders.Go(func() { b.add(t, fmt.Sprint("e", i), body(fmt.Sprint("e", i))) })
	}
	adders.Wait()
}

type row struct {
	State               inbox.State
	Attempts, Deferrals int
	Reason              string
}

// rows returns what is kept of each event.
func (b *box) rows(t *testing.T) map[string]row {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+b.path+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	answers, err := db.QueryContext(t.Context(), "SELECT event_id, state, attempts, deferrals, reason FROM deliveries")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answers.Close() }()
	rows := map[string]row{}
	for answers.Next() {
		var id string
		var r row
		if err := answers.Scan(&id, &r.State, &r.Attempts, &r.Deferrals, &r.Reason); err != nil {
			t.Fatal(err)
		}
		rows[id] = r
	}
	if err := answers.Err(); err != nil {
		t.Fatal(err)
	}
	return rows
}

// waitUntil waits until the rows satisfy the condition. It checks them each time that outcomes were written.
func (b *box) waitUntil(t *testing.T, condition func(map[string]row) bool) map[string]row {
	t.Helper()
	for {
		if rows := b.rows(t); condition(rows) {
			return rows
		}
		select {
		case <-b.finished:
		case <-t.Context().Done():
			t.Fatal("the test is over")
		}
	}
}

// logText is a log whose lines a test can wait for.
type logText struct {
	mu      sync.Mutex
	text    strings.Builder
	changed chan struct{}
}

// Write implements [io.Writer].
func (l *logText) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
	return l.text.Write(line)
}

// String returns all lines.
func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// waitFor waits until a line contains the text.
func (l *logText) waitFor(t *testing.T, text string) {
	t.Helper()
	for {
		l.mu.Lock()
		if strings.Contains(l.text.String(), text) {
			l.mu.Unlock()
			return
		}
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-t.Context().Done():
			t.Fatalf("no line with %q:\n%s", text, l.String())
		}
	}
}

func allInState(state inbox.State) func(map[string]row) bool {
	return func(rows map[string]row) bool {
		for _, r := range rows {
			if r.State != state {
				return false
			}
		}
		return true
	}
}

func nonePending(rows map[string]row) bool {
	for _, r := range rows {
		if r.State == inbox.Pending {
			return false
		}
	}
	return true
}

const maxAttempts = 3

// start runs a forwarder from b to url until stop is called. The delays are a hundredth of the maximum random delays.
func start(t *testing.T, b *box, url string, log io.Writer) (stop func()) {
	t.Helper()
	return startWithTimeout(t, b, url, log, 5*time.Second)
}

func startWithTimeout(t *testing.T, b *box, url string, log io.Writer, callTimeout time.Duration) (stop func()) {
	t.Helper()
	return startWithClient(t, b, url, log, callTimeout, forwarder.ClientOptions{})
}

func startWithClient(t *testing.T, b *box, url string, log io.Writer, callTimeout time.Duration, options forwarder.ClientOptions,
) (stop func()) {
	t.Helper()
	return startForwarder(t, forwarder.New(b, forwarder.NewClient(url, options), optionsOf(log, callTimeout, time.Now)))
}

func optionsOf(log io.Writer, callTimeout time.Duration, now func() time.Time) forwarder.Options {
	return forwarder.Options{CallTimeout: callTimeout, MaxAttempts: maxAttempts, FutureTolerance: 24 * time.Hour, Now: now,
		Random: func() float64 { return 0.01 }, Log: slog.New(slog.NewTextHandler(log, nil))}
}

func startForwarder(t *testing.T, f *forwarder.Forwarder) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f.Run(ctx)
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-ended
	})
	t.Cleanup(stop)
	return stop
}

func startServer(t *testing.T, s *ticketsvc) string {
	t.Helper()
	server := httptest.NewServer(s.handler())
	t.Cleanup(server.Close)
	return server.URL
}

// TestForwarder_batches adds events while calls are in flight. Each event is called at once, alone, until the maximum number of calls is in
// flight. Later events share the calls that follow, and everything is forwarded once.
func TestForwarder_batches(t *testing.T) {
	t.Parallel()
	const many = 2*forwarder.MaxEvents - 1
	called, goOn := make(chan string, many), make(chan struct{})
	b, s := newBox(t), newTicketsvc(func(eventID string, _ int) error {
		called <- eventID
		<-goOn
		return nil
	})
	// The clock stands, so that no call becomes a slow one, which would not count. All deliveries are due.
	later := time.Now().Add(time.Hour)
	startForwarder(t, forwarder.New(b, forwarder.NewClient(startServer(t, s), forwarder.ClientOptions{}),
		optionsOf(io.Discard, time.Minute, func() time.Time { return later })))
	for i := range forwarder.MaxCalls {
		id := fmt.Sprint("lone", i)
		b.add(t, id, body(id))
		if got := <-called; got != id {
			t.Fatalf("event %s was called, want %s", got, id)
		}
	}
	b.addMany(t, many)
	if len(called) != 0 {
		t.Errorf("event %s was called while %d calls were in flight", <-called, forwarder.MaxCalls)
	}
	close(goOn)
	rows := b.waitUntil(t, allInState(inbox.Forwarded))
	if len(rows) != forwarder.MaxCalls+many {
		t.Errorf("%d deliveries, want %d", len(rows), forwarder.MaxCalls+many)
	}
	for id := range rows {
		if calls := s.callsOf(id); calls != 1 {
			t.Errorf("event %s was forwarded %d times", id, calls)
		}
	}
	sizes := s.batchSizes()
	slices.Sort(sizes)
	if want := []int{forwarder.MaxEvents - 1, forwarder.MaxEvents}; !slices.Equal(sizes, want) {
		t.Errorf("the calls of several events had %v events, want %v", sizes, want)
	}
}

func TestForwarder_everythingPendingIsForwardedOnce(t *testing.T) {
	t.Parallel()
	const before, after = 300, 300
	b, s := newBox(t), newTicketsvc(nil)
	for i := range before {
		b.add(t, fmt.Sprint("before", i), body(fmt.Sprint("before", i)))
	}
	start(t, b, startServer(t, s), io.Discard)
	b.addMany(t, after)
	rows := b.waitUntil(t, allInState(inbox.Forwarded))
	if len(rows) != before+after {
		t.Errorf("%d deliveries, want %d", len(rows), before+after)
	}
	for id := range rows {
		if calls := s.callsOf(id); calls != 1 {
			t.Errorf("event %s was forwarded %d times", id, calls)
		}
	}
}

func TestForwarder_outcomeOfEachCode(t *testing.T) {
	t.Parallel()
	const passes = 5 // more than the number of failures that an event may cause itself
	tests := map[connect.Code]row{
		connect.CodeAlreadyExists: {State: inbox.Forwarded},

		connect.CodeUnavailable:      {State: inbox.Forwarded},
		connect.CodeDeadlineExceeded: {State: inbox.Forwarded},
		connect.CodeAborted:          {State: inbox.Forwarded},
		connect.CodeCanceled:         {State: inbox.Forwarded},

		connect.CodeUnauthenticated:  {State: inbox.Forwarded},
		connect.CodePermissionDenied: {State: inbox.Forwarded},
		connect.CodeUnimplemented:    {State: inbox.Forwarded},

		connect.CodeInternal: {State: inbox.Dead, Attempts: maxAttempts, Reason: "ticketsvc: internal: not today"},
		connect.CodeUnknown:  {State: inbox.Dead, Attempts: maxAttempts, Reason: "ticketsvc: unknown: not today"},
		connect.CodeDataLoss: {State: inbox.Dead, Attempts: maxAttempts, Reason: "ticketsvc: data_loss: not today"},

		connect.CodeInvalidArgument:    {State: inbox.Dead, Attempts: 1, Reason: "ticketsvc: invalid_argument: not today"},
		connect.CodeOutOfRange:         {State: inbox.Dead, Attempts: 1, Reason: "ticketsvc: out_of_range: not today"},
		connect.CodeFailedPrecondition: {State: inbox.Dead, Attempts: 1, Reason: "ticketsvc: failed_precondition: not today"},
		connect.CodeNotFound:           {State: inbox.Dead, Attempts: 1, Reason: "ticketsvc: not_found: not today"},
		connect.CodeResourceExhausted:  {State: inbox.Dead, Attempts: 1, Reason: "ticketsvc: resource_exhausted: not today"},
	}
	for code := connect.CodeCanceled; code <= connect.CodeUnauthenticated; code++ {
		want, ok := tests[code]
		if !ok {
			t.Errorf("no decision for %v", code)
			continue
		}
		t.Run(code.String(), func(t *testing.T) {
			t.Parallel()
			b := newBox(t)
			b.add(t, "e", body("e"))
			start(t, b, startServer(t, newTicketsvc(func(_ string, call int) error {
				if call <= passes {
					return connect.NewError(code, errors.New("not today"))
				}
				return nil
			})), io.Discard)
			got := b.waitUntil(t, nonePending)["e"]
			if want.State == inbox.Forwarded {
				got.Deferrals = 0 // the earlier number of deferrals does not matter
			}
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestForwarder_badEventsDelayNoOthers(t *testing.T) {
	t.Parallel()
	const good = 1000
	b := newBox(t)
	b.add(t, "untranslatable", `{"event":{"id":"untranslatable","name":"ticket.created","createdDate":"yesterday","data":{"id":"t"}}}`)
	b.add(t, "no ticket", `{"event":{"id":"no ticket","name":"ticket.created","createdDate":"2026-03-02T07:15:30Z","data":{}}}`)
	b.add(t, "internal", body("internal"))
	b.add(t, "too large", body("too large"))
	b.add(t, "put off", body("put off"))
	start(t, b, startServer(t, newTicketsvc(func(eventID string, _ int) error {
		switch eventID {
		case "internal":
			return connect.NewError(connect.CodeInternal, errors.New("it always fails"))
		case "too large":
			return connect.NewError(connect.CodeResourceExhausted, errors.New("it never fits"))
		case "put off":
			return connect.NewError(connect.CodeAborted, errors.New("it is always held"))
		default:
			return nil
		}
	})), io.Discard)
	b.addMany(t, good)
	rows := b.waitUntil(t, func(rows map[string]row) bool {
		forwarded, dead := 0, 0
		for _, r := range rows {
			switch r.State {
			case inbox.Forwarded:
				forwarded++
			case inbox.Dead:
				dead++
			}
		}
		return forwarded == good && dead == 4
	})
	if r := rows["no ticket"]; r.Reason != "no ticket id" {
		t.Errorf("reason %q, want %q", r.Reason, "no ticket id")
	}
	if r := rows["untranslatable"]; r.Reason == "" || strings.Contains(r.Reason, "yesterday") {
		t.Errorf("reason %q, want one that tells nothing of the body", r.Reason)
	}
	if r := rows["put off"]; r.State != inbox.Pending || r.Attempts != 0 {
		t.Errorf("what may pass with time: %+v, want it pending without attempts used up", r)
	}
}

func TestForwarder_Run_stopWaitsForTheCallInFlight(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.add(t, "e", body("e"))
	called, goOn := make(chan struct{}), make(chan struct{})
	stop := start(t, b, startServer(t, newTicketsvc(func(string, int) error {
		close(called)
		<-goOn
		return nil
	})), io.Discard)
	<-called
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		stop()
	}()
	close(goOn)
	<-stopped
	if r := b.rows(t)["e"]; r.State != inbox.Forwarded {
		t.Errorf("%+v, want it forwarded", r)
	}
}

func TestForwarder_deliveryWithoutBodyIsDead(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.add(t, "e", body("e"))
	db, err := sql.Open("sqlite", "file:"+b.path+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "DELETE FROM payloads"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	stop := start(t, b, startServer(t, newTicketsvc(nil)), &log)
	if diff := gocmp.Diff(row{State: inbox.Dead, Reason: "the body is gone"}, b.waitUntil(t, nonePending)["e"]); diff != "" {
		t.Error(diff)
	}
	stop()
	if !strings.Contains(log.String(), `"the body is gone"`) {
		t.Errorf("the log does not say why the delivery is dead: %s", log.String())
	}
}
