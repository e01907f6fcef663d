package forwarder_test

import (
	"bytes"
	"container/heap"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	"github.com/ticketbridge/ticketbridge/gateway/internal/forwarder"
	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
)

// memoryInbox is an inbox without a database, for tests with simulated time. It counts the writes.
type memoryInbox struct {
	// wake belongs to the bubble in which the forwarder runs.
	wake chan struct{}

	mu sync.Mutex
	// fresh is the number of deliveries that were never claimed, and lastID the id of the last one that was claimed.
	fresh  int
	lastID int64
	// due has the due times of deliveries that were claimed before, the earliest first. It also has entries that are out of date.
	due  dueHeap
	rows map[int64]*memoryRow
	// forwarded is the number of deliveries that were forwarded, untried how often one was written back without a call, and lost how many
	// outcomes came too late.
	forwarded, untried, lost int
}

type memoryRow struct {
	delivery inbox.Delivery
	state    inbox.State
	// due is the next attempt, or the end of the lease.
	due    time.Time
	leased bool
}

type dueEntry struct {
	due time.Time
	row *memoryRow
}

// stale reports whether the entry is out of date.
func (e dueEntry) stale() bool { return e.row.state != inbox.Pending || !e.row.due.Equal(e.due) }

type dueHeap []dueEntry

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h dueHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *dueHeap) Push(row any)      { *h = append(*h, row.(dueEntry)) }
func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	row := (*h)[last]
	*h = (*h)[:last]
	return row
}

func newMemoryInbox(fresh int) *memoryInbox {
	return &memoryInbox{fresh: fresh, rows: map[int64]*memoryRow{}}
}

// memoryClaim is the maximum number of deliveries that a claim of a memoryInbox returns, as if their bodies were large.
const memoryClaim = 128

// Claim implements [forwarder.Inbox].
func (i *memoryInbox) Claim(_ context.Context, now time.Time, lease time.Duration, limit int) ([]inbox.Delivery, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	limit = min(limit, memoryClaim)
	var claimed []inbox.Delivery
	claim := func(row *memoryRow) {
		row.delivery.Lease.Token++
		row.due, row.leased = now.Add(lease), true
		heap.Push(&i.due, dueEntry{row.due, row})
		claimed = append(claimed, row.delivery)
	}
	for ; i.fresh > 0 && len(claimed) < limit; i.fresh-- {
		i.lastID++
		row := &memoryRow{state: inbox.Pending, delivery: inbox.Delivery{ID: i.lastID, ReceiveTime: now.UTC(),
			Body: []byte(body(fmt.Sprint("e", i.lastID))), Lease: inbox.Lease{DeliveryID: i.lastID}}}
		i.rows[i.lastID] = row
		claim(row)
	}
	for len(i.due) > 0 && len(claimed) < limit && !i.due[0].due.After(now) {
		if entry := heap.Pop(&i.due).(dueEntry); !entry.stale() {
			claim(entry.row)
		}
	}
	return claimed, nil
}

// Finish implements [forwarder.Inbox].
func (i *memoryInbox) Finish(_ context.Context, now time.Time, outcomes []inbox.Outcome) (lost int, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, s := range outcomes {
		row := i.rows[s.Lease.DeliveryID]
		if row == nil || row.state != inbox.Pending || !row.leased || row.delivery.Lease != s.Lease {
			lost++
			i.lost++
			continue
		}
		switch s.State {
		case inbox.Forwarded:
			i.forwarded++
		case inbox.Pending:
			// A call that failed sets a reason, and a later next attempt.
			if s.Reason == row.delivery.Reason && !s.NextAttemptTime.After(now) {
				i.untried++
			}
		}
		row.state, row.leased, row.due = s.State, false, s.NextAttemptTime
		row.delivery.Attempts, row.delivery.Deferrals, row.delivery.Reason = s.Attempts, s.Deferrals, s.Reason
		heap.Push(&i.due, dueEntry{row.due, row})
	}
	return lost, nil
}

// NextDue implements [forwarder.Inbox].
func (i *memoryInbox) NextDue(context.Context) (time.Time, bool, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.fresh > 0 {
		return time.Now(), true, nil
	}
	for len(i.due) > 0 && i.due[0].stale() {
		heap.Pop(&i.due)
	}
	if len(i.due) == 0 {
		return time.Time{}, false, nil
	}
	return i.due[0].due, true, nil
}

// Wake implements [forwarder.Inbox].
func (i *memoryInbox) Wake() <-chan struct{} { return i.wake }

// add adds deliveries that are due at once.
func (i *memoryInbox) add(n int) {
	i.mu.Lock()
	i.fresh += n
	i.mu.Unlock()
	select {
	case i.wake <- struct{}{}:
	default:
	}
}

func (i *memoryInbox) row(id int64) memoryRow {
	i.mu.Lock()
	defer i.mu.Unlock()
	return *i.rows[id]
}

// client is a ticketsvc for which a test decides the answer to a call. Each of the call's events gets the same answer.
type client func(context.Context) error

// TicketCreated implements [forwarder.Client].
func (c client) TicketCreated(ctx context.Context, _ *ticketv1.TicketCreatedRequest) (*ticketv1.TicketCreatedResponse, error) {
	return &ticketv1.TicketCreatedResponse{}, c(ctx)
}

// TicketUpdated implements [forwarder.Client].
func (c client) TicketUpdated(ctx context.Context, _ *ticketv1.TicketUpdatedRequest) (*ticketv1.TicketUpdatedResponse, error) {
	return &ticketv1.TicketUpdatedResponse{}, c(ctx)
}

// RecordTicketEvents implements [forwarder.Client].
func (c client) RecordTicketEvents(ctx context.Context, r *ticketv1.RecordTicketEventsRequest,
) (*ticketv1.RecordTicketEventsResponse, error) {
	return recordedAll(r), c(ctx)
}

// recordedAll answers that all events of the request were recorded.
func recordedAll(r *ticketv1.RecordTicketEventsRequest) *ticketv1.RecordTicketEventsResponse {
	response := &ticketv1.RecordTicketEventsResponse{}
	for range r.GetEvents() {
		response.Results = append(response.Results, &ticketv1.TicketEventResult{Result: &ticketv1.TicketEventResult_Created{
			Created: &ticketv1.TicketCreatedResponse{}}})
	}
	return response
}

// inBubble runs a forwarder with the default options and simulated time while f runs. After the end of f it waits for what is still to
// come. It returns the lines of the log.
func inBubble(t *testing.T, in *memoryInbox, call client, f func(t *testing.T), after ...func(t *testing.T)) []string {
	t.Helper()
	return inBubbleWith(t, in, call, f, after...)
}

// inBubbleWith is like [inBubble] with any client.
func inBubbleWith(t *testing.T, in *memoryInbox, ticketsvc forwarder.Client, f func(t *testing.T), after ...func(t *testing.T)) []string {
	t.Helper()
	var log bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		in.wake = make(chan struct{}, 1)
		random := rand.New(rand.NewPCG(1, 2))
		forwarding := forwarder.New(in, ticketsvc, forwarder.Options{CallTimeout: 5 * time.Second, MaxAttempts: 10,
			Now: time.Now, Log: slog.New(slog.NewTextHandler(&log, nil)), Random: random.Float64})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { forwarding.Run(ctx) })
		f(t)
		cancel()
		running.Wait()
		for _, f := range after {
			f(t)
		}
	})
	return strings.Split(strings.TrimSpace(log.String()), "\n")
}

// wireError is an error as ticketsvc sends it.
func wireError(code connect.Code, message string) *connect.Error {
	return connect.NewWireError(code, errText(message))
}

type errText string

func (e errText) Error() string { return string(e) }
