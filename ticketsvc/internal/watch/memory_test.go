package watch_test

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/watch"
)

// Properties are checked this many times, unless the command line says otherwise: it is parsed later.
func init() {
	if err := flag.Set("rapid.checks", "2500"); err != nil {
		panic(err)
	}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a log in memory.
type memory struct {
	notifier ticket.Notifier
	// before, if not nil, is called with the name of each method before it does its work. Its error is the method's.
	before func(ctx context.Context, method string) error

	mu      sync.Mutex
	changes []ticket.Change
	// nonces are those of the changes. Each is new, also where a change comes again.
	nonces  []int64
	records map[string]*ticket.State
	erased  map[string]bool
	corrupt map[string]bool
	deaf    bool
	// elements is how many elements each ticket is said to have.
	elements int
}

func newMemory() *memory {
	return &memory{records: map[string]*ticket.State{}, erased: map[string]bool{}, corrupt: map[string]bool{}}
}

// record adds events. Their ids are theirs alone; those without a time get one that is later than those of the events before.
func (m *memory) record(changes ...ticket.Change) {
	m.mu.Lock()
	for i := range changes {
		c := &changes[i]
		if m.erased[c.TicketID] {
			continue
		}
		if !c.OccurTime.Set {
			c.OccurTime = tickettest.At(int64(len(m.changes)))
		}
		if m.records[c.TicketID] == nil {
			m.records[c.TicketID] = ticket.NewState(c.TicketID)
		}
		m.records[c.TicketID].Apply(c)
		m.add(*c)
	}
	m.mu.Unlock()
	m.notify()
}

var lastNonce atomic.Int64

// add adds a position to the log. The caller holds mu.
func (m *memory) add(c ticket.Change) {
	m.changes, m.nonces = append(m.changes, c), append(m.nonces, lastNonce.Add(1))
}

// backup returns the log as it is, apart from it.
func (m *memory) backup() *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := newMemory()
	b.deaf = m.deaf
	for _, c := range m.changes {
		if c.Name == ticket.Erased {
			b.erase(c.TicketID)
		} else {
			b.record(c)
		}
	}
	b.nonces = slices.Clone(m.nonces)
	return b
}

func (m *memory) erase(ticketID string) {
	m.mu.Lock()
	if !m.erased[ticketID] {
		m.erased[ticketID] = true
		delete(m.records, ticketID)
		m.add(ticket.Change{Name: ticket.Erased, TicketID: ticketID})
	}
	m.mu.Unlock()
	m.notify()
}

func (m *memory) notify() {
	if !m.deaf {
		m.notifier.Notify()
	}
}

// matching returns the tickets that match a filter, by id.
func (m *memory) matching(filter ticket.Filter) map[string]ticket.Ticket {
	m.mu.Lock()
	defer m.mu.Unlock()
	found := map[string]ticket.Ticket{}
	for id, r := range m.records {
		if filter.Matches(&r.Ticket) {
			found[id] = shown(r)
		}
	}
	return found
}

// shown returns the ticket of a record that may go on to change: it shares no map with it.
func shown(r *ticket.State) ticket.Ticket {
	t := r.Ticket
	t.Attributes = maps.Clone(t.Attributes)
	return t
}

func (m *memory) length() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return int64(len(m.changes))
}

func (m *memory) begin(ctx context.Context, method string) error {
	if m.before != nil {
		if err := m.before(ctx, method); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// event returns the event with a sequence number. The caller holds mu.
func (m *memory) event(sequence int) ticket.Event {
	c := &m.changes[sequence-1]
	return ticket.Event{Sequence: int64(sequence), EventID: c.EventID, Name: c.Name, TicketID: c.TicketID, OccurTime: c.OccurTime,
		ChangedFields: c.ChangedFields()}
}

// position returns the position of a sequence number. The caller holds mu.
func (m *memory) position(sequence int) ticket.LogPosition {
	e := m.event(sequence)
	return e.Position(m.nonces[sequence-1])
}

func (m *memory) DatabaseID() ticket.DatabaseID { return ticket.DatabaseID{} }

func (m *memory) LastPosition(ctx context.Context) (ticket.LogPosition, error) {
	if err := m.begin(ctx, "LastPosition"); err != nil {
		return ticket.LogPosition{}, err
	}
	return m.positionAt(m.length())
}

func (m *memory) PositionAt(ctx context.Context, sequence int64) (ticket.LogPosition, error) {
	if err := m.begin(ctx, "PositionAt"); err != nil {
		return ticket.LogPosition{}, err
	}
	return m.positionAt(sequence)
}

func (m *memory) positionAt(sequence int64) (ticket.LogPosition, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if sequence == 0 {
		return ticket.LogPosition{}, nil
	}
	if sequence > int64(len(m.changes)) {
		return ticket.LogPosition{}, ticket.ErrPositionNotFound
	}
	return m.position(int(sequence)), nil
}

func (m *memory) ReadLog(ctx context.Context, after int64, limit ticket.PageLimit) ([]ticket.Entry, error) {
	if err := m.begin(ctx, "ReadLog"); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var entries []ticket.Entry
	bytes := 0
	for position := int(after) + 1; position <= len(m.changes) && len(entries) < limit.Items; position++ {
		e := ticket.Entry{Event: m.event(position), Position: m.position(position)}
		if record := m.records[e.Event.TicketID]; record != nil {
			t := shown(record)
			e.Ticket, e.Weight = &t, ticket.Weight{Bytes: len(t.Title) + len(t.StatusText), Elements: m.elements}
		}
		if bytes += e.Weight.Bytes; len(entries) > 0 && bytes > limit.Bytes {
			break
		}
		if m.corrupt[e.Event.TicketID] {
			e.Ticket, e.Err = nil, ticket.DecodeError(e.Event.TicketID, fmt.Errorf("spoilt"))
		}
		entries = append(entries, e)
	}
	return entries, nil
}

func (m *memory) ReadSnapshot(ctx context.Context, filter ticket.Filter, after string, limit ticket.PageLimit,
) (ticket.SnapshotPage, error) {
	if err := m.begin(ctx, "ReadSnapshot"); err != nil {
		return ticket.SnapshotPage{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []ticket.Ticket
	for id, r := range m.records {
		if id > after {
			all = append(all, shown(r))
		}
	}
	slices.SortFunc(all, func(a, b ticket.Ticket) int { return cmp.Compare(a.ID, b.ID) })
	var page ticket.SnapshotPage
	if len(all) > limit.Items {
		all = all[:limit.Items]
		page.Last = all[len(all)-1].ID
	}
	for i := range all {
		if m.corrupt[all[i].ID] {
			return ticket.SnapshotPage{}, ticket.DecodeError(all[i].ID, fmt.Errorf("spoilt"))
		}
		if filter.Matches(&all[i]) {
			page.Tickets = append(page.Tickets, all[i])
		}
	}
	return page, nil
}

func (m *memory) TicketBefore(ctx context.Context, ticketID string, sequence int64, limit ticket.PageLimit) (ticket.Ticket, error) {
	if err := m.begin(ctx, "TicketBefore"); err != nil {
		return ticket.Ticket{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.erased[ticketID] {
		return ticket.Ticket{}, ticket.ErrNotFound
	}
	t, events := m.fold(ticketID, sequence)
	switch {
	case events == 0:
		return ticket.Ticket{}, ticket.ErrNotFound
	case events > limit.Items:
		return ticket.Ticket{}, ticket.ErrTooManyEvents
	}
	return t, nil
}

// fold returns a ticket as it was before a position, and of how many events. The caller holds mu.
func (m *memory) fold(ticketID string, sequence int64) (t ticket.Ticket, events int) {
	r := ticket.NewState(ticketID)
	for i := range m.changes[:sequence-1] {
		if c := &m.changes[i]; c.TicketID == ticketID && c.Name != ticket.Erased {
			r.Apply(c)
			events++
		}
	}
	return r.Ticket, events
}

func (m *memory) Subscribe(ctx context.Context, wake func(), _ func(error)) {
	m.notifier.Subscribe(ctx, wake)
}

// notices returns notices of which only those of errors mean something.
func notices(failed func(error), recovered func()) watch.Notices {
	return watch.Notices{Failed: failed, Recovered: recovered, Late: func(int64) {}, CaughtUp: func() {}}
}

// newFeed returns a feed of a log that has no errors. It ends with the test.
func newFeed(t *testing.T, log ticket.Log, limits watch.Limits) *watch.Feed {
	t.Helper()
	f := watch.New(log, limits, notices(func(err error) { t.Errorf("the feed has an error: %v", err) }, func() {}))
	t.Cleanup(f.Close)
	return f
}

func mustWatch(t *testing.T, f *watch.Feed, filter ticket.Filter, from *watch.ResumePoint) *watch.Watcher {
	t.Helper()
	w, err := f.Watch(t.Context(), "caller", filter, from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

// updated is an event that names the status alone.
func updated(eventID, ticketID, status string) ticket.Change {
	return ticket.Change{EventID: eventID, Name: ticket.Updated, TicketID: ticketID,
		Fields: tickettest.Named("status_text"), Values: ticket.Ticket{StatusText: status}}
}

// said returns what a message says, in short.
func said(m watch.Message) string {
	switch {
	case m.Kind == watch.Change && m.Entry == nil:
		return fmt.Sprintf("%s is %s", m.Ticket.ID, m.Ticket.StatusText)
	case m.Kind == watch.Change:
		return fmt.Sprintf("%s by %s is %s", m.Ticket.ID, m.Entry.Event.EventID, m.Ticket.StatusText)
	case m.Kind == watch.NoLongerMatches:
		return m.Entry.Event.TicketID + " leaves by " + m.Entry.Event.EventID
	case m.Kind == watch.Erased:
		return m.Entry.Event.TicketID + " is erased"
	}
	return "heartbeat"
}

// expectEnd fails unless the watcher ends with an error now.
func expectEnd(t *testing.T, w *watch.Watcher, want error) {
	t.Helper()
	if m, err := w.Next(t.Context()); !errors.Is(err, want) {
		t.Fatalf("the watcher gets %q, %v; want the end %v", said(m), err, want)
	}
}

// expect reads messages, and fails unless they say what is wanted. It returns the last.
func expect(t *testing.T, w *watch.Watcher, want ...string) (m watch.Message) {
	t.Helper()
	for _, say := range want {
		var err error
		if m, err = w.Next(t.Context()); err != nil || said(m) != say {
			t.Fatalf("the watcher gets %q, %v; want %q", said(m), err, say)
		}
	}
	return m
}
