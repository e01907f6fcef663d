package forwarder_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	"github.com/ticketbridge/ticketbridge/gateway/internal/forwarder"
	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
)

// eventLog is a ticketsvc with an event log that a test can set back.
type eventLog struct {
	ticketv1connect.TicketEventServiceClient

	mu       sync.Mutex
	database string
	events   []string
	nonce    uint64
	nonces   []uint64
	err      error
	asked    int
}

func (l *eventLog) positionAt(sequence int) *ticketv1.LogPosition {
	p := &ticketv1.LogPosition{DatabaseId: []byte(l.database), Sequence: int64(sequence)}
	if sequence > 0 && sequence <= len(l.nonces) {
		p.Fingerprint = l.nonces[sequence-1]
	}
	return p
}

// TicketCreated implements [ticketv1connect.TicketEventServiceClient].
func (l *eventLog) TicketCreated(_ context.Context, r *ticketv1.TicketCreatedRequest) (*ticketv1.TicketCreatedResponse, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return nil, l.err
	}
	l.nonce++
	l.events, l.nonces = append(l.events, r.GetEvent().GetEventId()), append(l.nonces, l.nonce)
	return &ticketv1.TicketCreatedResponse{LogPosition: l.positionAt(len(l.events))}, nil
}

// RecordTicketEvents implements [ticketv1connect.TicketEventServiceClient].
func (l *eventLog) RecordTicketEvents(ctx context.Context, r *ticketv1.RecordTicketEventsRequest,
) (*ticketv1.RecordTicketEventsResponse, error) {
	response := recordedAll(r)
	for i, e := range r.GetEvents() {
		created, err := l.TicketCreated(ctx, e.GetCreated())
		if err != nil {
			return nil, err
		}
		response.Results[i].Result = &ticketv1.TicketEventResult_Created{Created: created}
	}
	return response, nil
}

// CheckLogPositions implements [ticketv1connect.TicketEventServiceClient].
func (l *eventLog) CheckLogPositions(_ context.Context, r *ticketv1.CheckLogPositionsRequest) (*ticketv1.CheckLogPositionsResponse, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	if l.err != nil {
		return nil, l.err
	}
	response := &ticketv1.CheckLogPositionsResponse{Last: l.positionAt(len(l.events))}
	for _, p := range r.GetPositions() {
		held := l.positionAt(int(p.GetSequence()))
		if held.GetFingerprint() != p.GetFingerprint() || string(p.GetDatabaseId()) != l.database {
			response.Missing = append(response.Missing, p)
		}
	}
	return response, nil
}

// putBack sets the log back to that number of events.
func (l *eventLog) putBack(events int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events, l.nonces = l.events[:events], l.nonces[:events]
}

func (l *eventLog) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

// lacks returns the number of the events e0, e1 and so on that are not in the log.
func (l *eventLog) lacks(events int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	has := map[string]bool{}
	for _, id := range l.events {
		has[id] = true
	}
	for i := range events {
		if has[fmt.Sprint("e", i)] {
			events--
		}
	}
	return events
}

// reconciled is an inbox with a forwarder and a reconciler to a log.
type reconciled struct {
	*box
	log        *eventLog
	reconciler *forwarder.Reconciler
	lines      *bytes.Buffer
	offset     atomic.Int64
	events     int
	// erasures is the error of repeating erasures, and repeated the number of these calls.
	erasures error
	repeated int
	// changes counts the changes of positions.
	changes int
}

// ChangePositions implements [forwarder.ReconcilerInbox].
func (r *reconciled) ChangePositions(ctx context.Context, change inbox.PositionsChange) error {
	r.changes++
	return r.box.ChangePositions(ctx, change)
}

// SyncNow implements [forwarder.ErasureSyncer].
func (r *reconciled) SyncNow(context.Context) error {
	r.repeated++
	return r.erasures
}

func newReconciled(t *testing.T) *reconciled {
	t.Helper()
	r := &reconciled{box: newBox(t), log: &eventLog{database: "a"}, lines: &bytes.Buffer{}}
	r.restart()
	return r
}

// restart makes a new reconciler, which knows only what is in the inbox.
func (r *reconciled) restart() {
	r.reconciler = forwarder.NewReconciler(r, r.log, r, forwarder.Options{Now: r.time, Log: slog.New(slog.NewTextHandler(r.lines, nil))})
}

func (r *reconciled) time() time.Time { return time.Now().Add(time.Duration(r.offset.Load())) }

func (r *reconciled) pass(d time.Duration) { r.offset.Add(int64(d)) }

// forward adds that number of events and forwards all pending deliveries.
func (r *reconciled) forward(t *testing.T, events int) {
	t.Helper()
	for range events {
		id := fmt.Sprint("e", r.events)
		r.add(t, id, body(id))
		r.events++
	}
	f := forwarder.New(r, r.log, forwarder.Options{CallTimeout: 5 * time.Second, MaxAttempts: maxAttempts, Now: r.time,
		Random: func() float64 { return 0.01 }, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { f.Run(ctx) })
	r.waitUntil(t, allInState(inbox.Forwarded))
	cancel()
	running.Wait()
}

// pendingAgain returns the number of pending deliveries.
func (r *reconciled) pendingAgain(t *testing.T) int {
	t.Helper()
	pending := 0
	for _, row := range r.rows(t) {
		if row.State == inbox.Pending {
			pending++
		}
	}
	return pending
}

func TestReconciler_replaysWhatTheLogLost(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		// change replaces the log, which has 60 events, by another one.
		change func(l *eventLog)
		// replayed is the number of the 60 deliveries that are forwarded again: those since the checkpoint that the log still holds.
		replayed int
		says     []string
	}{
		"nothing is lost": {func(*eventLog) {}, 0, nil},
		"the end":         {func(l *eventLog) { l.putBack(55) }, 20, []string{"lost_sequence=60", "last_sequence=55", "other_database=false"}},
		"what was never checked, and as many came": {func(l *eventLog) {
			l.putBack(55)
			l.events, l.nonces = append(l.events, "f1", "f2", "f3", "f4", "f5"), append(l.nonces, 1001, 1002, 1003, 1004, 1005)
		}, 20, []string{"lost_sequence=60 last_sequence=60"}},
		"the end beyond a checkpoint": {func(l *eventLog) { l.putBack(39) }, 40, []string{"last_sequence=39"}},
		"all":                         {func(l *eventLog) { l.putBack(0) }, 60, []string{"last_sequence=0", `since="the beginning"`}},
		"another database":            {func(l *eventLog) { l.database = "b" }, 60, []string{"other_database=true"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newReconciled(t)
			for range 2 {
				r.forward(t, 20)
				r.pass(time.Hour)
				r.reconciler.Check(t.Context())
				r.pass(time.Hour)
			}
			r.forward(t, 20)
			test.change(r.log)
			if replaying := r.reconciler.Check(t.Context()); replaying != (test.replayed > 0) {
				t.Errorf("Check = %v", replaying)
			}
			// The started replay is not lost when the process ends.
			r.restart()
			if r.reconciler.Check(t.Context()) {
				r.reconciler.Replay(t.Context())
			}
			if got := r.pendingAgain(t); got != test.replayed {
				t.Errorf("%d deliveries are pending, want %d", got, test.replayed)
			}
			says := slices.Concat(test.says, []string{fmt.Sprintf("count=%d without_body=0", test.replayed)})
			for _, words := range says {
				if got := strings.Contains(r.lines.String(), words); got != (test.replayed > 0) {
					t.Errorf("the log has %q: %v\n%s", words, got, r.lines)
				}
			}
			r.pass(time.Second)
			r.forward(t, 1)
			if lacks := r.log.lacks(r.events); lacks > 0 {
				t.Errorf("the log lacks %d events", lacks)
			}
			lines := r.lines.String()
			for range 3 {
				r.pass(time.Second)
				if r.reconciler.Check(t.Context()) {
					t.Error("another loss is noticed, or the replay is not over")
				}
			}
			if more := r.lines.String()[len(lines):]; more != "" {
				t.Errorf("more is logged: %s", more)
			}
		})
	}
}

// TestReconciler_noticesALossBetweenTwoChecks has a log that loses events that were recorded after the last check, and then grows beyond
// them before the next check.
func TestReconciler_noticesALossBetweenTwoChecks(t *testing.T) {
	t.Parallel()
	r := newReconciled(t)
	r.forward(t, 10)
	r.reconciler.Check(t.Context())
	r.forward(t, 10)
	r.log.putBack(15)
	r.forward(t, 40)
	if !r.reconciler.Check(t.Context()) {
		t.Fatal("the loss is not noticed")
	}
	r.reconciler.Replay(t.Context())
	r.pass(time.Second)
	r.forward(t, 0)
	if lacks := r.log.lacks(r.events); lacks > 0 {
		t.Errorf("the log lacks %d events", lacks)
	}
}

// TestReconciler_clockSetBack sets the gateway's clock back, so that events that are forwarded then seem to be older than a checkpoint. The
// log loses them before the next check, or after one.
func TestReconciler_clockSetBack(t *testing.T) {
	t.Parallel()
	for _, checked := range []bool{false, true} {
		r := newReconciled(t)
		for range 2 {
			r.pass(time.Hour)
			r.forward(t, 20)
			r.reconciler.Check(t.Context())
		}
		r.pass(-10 * time.Minute)
		r.forward(t, 20)
		if checked {
			r.reconciler.Check(t.Context())
		}
		r.log.putBack(40)
		if !r.reconciler.Check(t.Context()) {
			t.Fatalf("checked before: %v: the loss is not noticed", checked)
		}
		r.reconciler.Replay(t.Context())
		r.pass(time.Second)
		r.forward(t, 1)
		if lacks := r.log.lacks(r.events); lacks > 0 {
			t.Errorf("checked before: %v: the log lacks %d events", checked, lacks)
		}
		if got := strings.Count(r.lines.String(), "was it set back"); got != 1 {
			t.Errorf("checked before: %v: the clock is logged %d times, want once: %s", checked, got, r.lines)
		}
	}
}

// TestReconciler_clockSetBackWhileNothingIsForwarded loses the events that the newest checkpoint covers. The checkpoint is later than the
// clock.
func TestReconciler_clockSetBackWhileNothingIsForwarded(t *testing.T) {
	t.Parallel()
	r := newReconciled(t)
	r.pass(time.Hour)
	r.forward(t, 20)
	r.reconciler.Check(t.Context())
	r.pass(-10 * time.Minute)
	if r.reconciler.Check(t.Context()) {
		t.Error("a loss is noticed before there is one")
	}
	r.log.putBack(10)
	if !r.reconciler.Check(t.Context()) {
		t.Error("the loss is not noticed")
	}
}

func TestReconciler_replaysOnceErasuresAreRepeated(t *testing.T) {
	t.Parallel()
	r := newReconciled(t)
	r.forward(t, 5)
	r.log.putBack(2)
	r.erasures = wireError(connect.CodeUnavailable, "no")
	for range 2 {
		if !r.reconciler.Check(t.Context()) {
			t.Fatal("the loss is not noticed, or forgotten")
		}
		r.reconciler.Replay(t.Context())
	}
	if pending := r.pendingAgain(t); pending != 0 || r.repeated != 2 || strings.Count(r.lines.String(), "level=WARN") != 1 {
		t.Errorf("%d deliveries are pending, erasures were tried %d times; the log says\n%s", pending, r.repeated, r.lines)
	}
	r.erasures = nil
	r.reconciler.Replay(t.Context())
	if pending := r.pendingAgain(t); pending != 5 {
		t.Errorf("%d deliveries are pending, want 5", pending)
	}
}

func TestReconciler_writesNothingWhileNothingIsForwarded(t *testing.T) {
	t.Parallel()
	r := newReconciled(t)
	if r.reconciler.Check(t.Context()); r.log.asked != 0 {
		t.Error("ticketsvc is asked before anything was forwarded")
	}
	r.forward(t, 3)
	for range 3 {
		r.reconciler.Check(t.Context())
	}
	if r.changes != 1 || r.log.asked != 3 {
		t.Errorf("%d changes and %d questions, want 1 and 3", r.changes, r.log.asked)
	}
}

func TestReconciler_changesNothingWhileItCannotAsk(t *testing.T) {
	t.Parallel()
	for code, warned := range map[connect.Code]bool{connect.CodeUnavailable: false, connect.CodeDeadlineExceeded: false,
		connect.CodeUnimplemented: true, connect.CodePermissionDenied: true} {
		r := newReconciled(t)
		r.forward(t, 3)
		r.reconciler.Check(t.Context())
		r.forward(t, 3)
		r.log.putBack(2)
		r.log.fail(wireError(code, "no"))
		for range 3 {
			if r.reconciler.Check(t.Context()) {
				t.Errorf("%v: Check = true", code)
			}
		}
		warnings := strings.Count(r.lines.String(), "level=WARN")
		if r.changes != 1 || warned != (warnings == 1) || strings.Contains(r.lines.String(), "level=ERROR") {
			t.Errorf("%v: %d changes, want 1; the log says\n%s", code, r.changes, r.lines)
		}
		r.log.fail(nil)
		if !r.reconciler.Check(t.Context()) {
			t.Errorf("%v: the loss is not noticed afterwards", code)
		}
	}
}

// forwardApart adds that number of events and finishes them as forwarded, each with its own position. The log holds these positions.
func (r *reconciled) forwardApart(t *testing.T, events int) {
	t.Helper()
	for range events {
		id := fmt.Sprint("e", r.events)
		r.add(t, id, body(id))
		r.events++
	}
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	for len(r.log.events) < r.events {
		claimed, err := r.Claim(t.Context(), r.time(), time.Minute, 100)
		if err != nil {
			t.Fatal(err)
		}
		var outcomes []inbox.Outcome
		for _, d := range claimed {
			r.log.nonce++
			r.log.events, r.log.nonces = append(r.log.events, d.EventID), append(r.log.nonces, r.log.nonce)
			outcomes = append(outcomes, inbox.Outcome{Lease: d.Lease, State: inbox.Forwarded,
				Position: inbox.LogPosition{DatabaseID: "a", Sequence: int64(len(r.log.events)), Fingerprint: r.log.nonce}})
		}
		if _, err := r.Finish(t.Context(), r.time(), outcomes); err != nil {
			t.Fatal(err)
		}
	}
}

// TestReconciler_checksAllPositions has more new positions between two checks than one call to ticketsvc may have.
func TestReconciler_checksAllPositions(t *testing.T) {
	t.Parallel()
	r := newReconciled(t)
	r.forward(t, 1)
	r.reconciler.Check(t.Context())
	r.pass(time.Hour)
	r.forwardApart(t, 2000)
	r.reconciler.Check(t.Context())
	known, err := r.LogPositions(t.Context(), 1)
	if err != nil || len(known.Unchecked) > 0 {
		t.Errorf("after a check %d positions or more are unchecked, %v; want none", len(known.Unchecked), err)
	}
	if since := r.time().Sub(known.Checkpoints[0].ForwardedBefore); since > time.Minute {
		t.Errorf("the newest checkpoint is %v old", since)
	}
}

// TestReconciler_keepsFewPositionsWhileItCannotAsk fills the inbox with positions, one per delivery.
func TestReconciler_keepsFewPositionsWhileItCannotAsk(t *testing.T) {
	t.Parallel()
	const events = 2000
	r := newReconciled(t)
	r.forward(t, 1)
	r.reconciler.Check(t.Context())
	r.log.fail(wireError(connect.CodeUnavailable, "no"))
	r.forwardApart(t, events)
	for range 20 {
		r.reconciler.Check(t.Context())
	}
	known, err := r.LogPositions(t.Context(), events)
	if err != nil || len(known.Unchecked) >= 800 || len(known.Unchecked) < 100 {
		t.Errorf("%d positions are unchecked, %v; want at least 100 and fewer than 800", len(known.Unchecked), err)
	}
}

// TestReconciler_Run checks about once a second until it is stopped, and replays until the replay is over.
func TestReconciler_Run(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &memoryPositions{positions: inbox.LogPositions{Replaying: true, Unchecked: []inbox.UncheckedPosition{{ID: 1,
			Position: inbox.LogPosition{DatabaseID: "a"}}}}, steps: 70}
		log := &eventLog{database: "a"}
		reconciler := forwarder.NewReconciler(p, log, p, forwarder.Options{Now: time.Now, Log: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second+time.Millisecond)
		defer cancel()
		reconciler.Run(ctx)
		if p.steps != 0 || log.asked != 11 {
			t.Errorf("%d steps of the replay are left, and ticketsvc was asked %d times; want 0 and 11", p.steps, log.asked)
		}
	})
}

// TestReconciler_Run_replaysNoFasterThanDeliveriesAreForwarded: deliveries that are retried wait behind those that are replayed.
func TestReconciler_Run_replaysNoFasterThanDeliveriesAreForwarded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &memoryPositions{positions: inbox.LogPositions{Replaying: true}, steps: 70, forwardedAt: time.Now().Add(time.Minute)}
		reconciler := forwarder.NewReconciler(p, &eventLog{}, p, forwarder.Options{Now: time.Now, Log: slog.New(slog.DiscardHandler)})
		run := func(d time.Duration) {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			reconciler.Run(ctx)
		}
		if run(59 * time.Second); p.steps != 70 {
			t.Errorf("%d steps are left while a delivery is due, want all 70", p.steps)
		}
		if run(11 * time.Second); p.steps != 0 {
			t.Errorf("%d steps are left after the delivery was forwarded, want 0", p.steps)
		}
	})
}

// memoryPositions is an inbox with a replay of some steps. Until forwardedAt it has a delivery that has been due for two seconds.
type memoryPositions struct {
	positions   inbox.LogPositions
	steps       int
	forwardedAt time.Time
}

// NextDue implements [forwarder.ReconcilerInbox].
func (p *memoryPositions) NextDue(context.Context) (time.Time, bool, error) {
	now := time.Now()
	return now.Add(-2 * time.Second), now.Before(p.forwardedAt), nil
}

// LogPositions implements [forwarder.ReconcilerInbox].
func (p *memoryPositions) LogPositions(context.Context, int) (inbox.LogPositions, error) {
	return p.positions, nil
}

// ChangePositions implements [forwarder.ReconcilerInbox].
func (p *memoryPositions) ChangePositions(context.Context, inbox.PositionsChange) error { return nil }

// SyncNow implements [forwarder.ErasureSyncer].
func (p *memoryPositions) SyncNow(context.Context) error { return nil }

// ReplayStep implements [forwarder.ReconcilerInbox].
func (p *memoryPositions) ReplayStep(context.Context, time.Time, int) (inbox.Replay, error) {
	p.steps--
	p.positions.Replaying = p.steps > 0
	return inbox.Replay{Done: p.steps == 0}, nil
}

// TestReconciler_Replay_endedByAnotherGateway finds no replay any more: the gateway that took the last step has logged the end.
func TestReconciler_Replay_endedByAnotherGateway(t *testing.T) {
	t.Parallel()
	var lines bytes.Buffer
	p := &memoryPositions{positions: inbox.LogPositions{Replaying: true}, steps: 1}
	forwarder.NewReconciler(p, &eventLog{}, p, forwarder.Options{Now: time.Now, Log: slog.New(slog.NewTextHandler(&lines, nil))}).
		Replay(t.Context())
	if lines.Len() > 0 {
		t.Errorf("it logged %s", &lines)
	}
}

// TestReconciler_logsRepeatedLossesOnceAMinute has two ticketsvcs with separate databases that answer in turn.
func TestReconciler_logsRepeatedLossesOnceAMinute(t *testing.T) {
	t.Parallel()
	r := newReconciled(t)
	r.forward(t, 1)
	r.reconciler.Check(t.Context())
	const losses = 5
	for i := range losses {
		r.log.database = string(rune('b' + i%2))
		if !r.reconciler.Check(t.Context()) {
			t.Fatalf("loss %d is not noticed", i)
		}
		r.reconciler.Replay(t.Context())
		r.pass(time.Second)
		r.forward(t, 1)
		r.reconciler.Check(t.Context())
	}
	if got := strings.Count(r.lines.String(), "ticketsvc's log lost events"); got != 1 {
		t.Errorf("%d losses in a few seconds are logged %d times, want once: %s", losses, got, r.lines)
	}
	r.pass(time.Minute)
	r.log.database = "z"
	r.reconciler.Check(t.Context())
	if !strings.Contains(r.lines.String(), fmt.Sprintf("count=%d lost_sequence", losses)) {
		t.Errorf("the next line has no count of %d: %s", losses, r.lines)
	}
}
