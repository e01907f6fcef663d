package ticket

import (
	"cmp"
	"slices"
)

// Recording is the work of [Store.Record] apart from the database: which changes are new, which tickets they need, and what becomes of
// these. It is for one batch, and not for concurrent use.
//
// A store looks up the events in its log and says which it found, loads the tickets that are needed, merges, and writes what that
// returns:
//
//	EventIDs → Logged … → TicketIDs → TakeRoom, and Load, Erased, Fail or Defer … → Merge → SetLogEnd → Recorded
//
// A store that has to lock tickets before it looks at the log asks for TicketIDs first, and then, of each, whether it is still needed.
type Recording struct {
	changes []Change
	// recorded has, until Merge, nothing but which changes are duplicates.
	recorded []Recorded
	// firsts holds, for each event, the place of the first change that names it. It is the one that counts.
	firsts map[string]int
	// tickets are those of the first changes, by id in byte order.
	tickets []merging
	// loadedBytes is the sum of the tickets' own.
	loadedBytes int
}

// MaxLoadedBytes is how much memory the stored tickets of one batch take together at most, besides the ticket of the first change. Small
// events can be for tickets of 11 MiB each. A store has a few more copies of the tickets while it writes them. The tickets of a usual batch
// take 2 MiB.
const MaxLoadedBytes = 32 << 20

// merging is one ticket that gets changes. Several changes of it take one reading and one writing.
type merging struct {
	id string
	// changes is how many changes of it are not duplicates.
	changes int
	// record is nil while the ticket is not known to be kept.
	record *Record
	// most is an upper bound of the weight of the record's ticket. It is zero until a change is merged.
	most Weight
	// title and description are those with which the record was loaded.
	title, description string
	// err says why the ticket can't be used.
	err error
	// erased tells that the ticket was erased.
	erased bool
	// deferred tells that the ticket is left for the next batch.
	deferred bool
	// loadedBytes is how much memory the record takes as it was stored.
	loadedBytes int
	// kept tells that the ticket was there before, in the group before.
	kept   bool
	before Group
}

// written tells whether the ticket is to be written.
func (m *merging) written() bool { return m.changes > 0 && m.err == nil && !m.erased && !m.deferred }

// merge merges a change into the record. The error is [ErrFull]. To weigh a ticket takes the longer the more elements it has, so where the
// sum of what was merged shows that there is room, that is enough.
func (m *merging) merge(c *Change) error {
	if m.most == (Weight{}) {
		m.most = m.record.Ticket.weight()
	}
	if most := m.most.Plus(c.Values.weight()); most.fits() {
		m.most = most
		m.record.Apply(c)
		return nil
	}
	err := m.record.TryApply(c)
	m.most = m.record.Ticket.weight()
	return err
}

// NewRecording returns the recording of changes, which must not be changed before it is over.
func NewRecording(changes []Change) *Recording {
	r := &Recording{
		changes:  changes,
		recorded: make([]Recorded, len(changes)),
		firsts:   make(map[string]int, len(changes)),
		tickets:  make([]merging, 0, len(changes)),
	}
	for i := range changes {
		if _, repeated := r.firsts[changes[i].EventID]; repeated {
			r.recorded[i].Duplicate = true
			continue
		}
		r.firsts[changes[i].EventID] = i
		r.tickets = append(r.tickets, merging{id: changes[i].TicketID, changes: 1})
	}
	slices.SortFunc(r.tickets, func(a, b merging) int { return cmp.Compare(a.id, b.id) })
	distinct := r.tickets[:0]
	for _, t := range r.tickets {
		if last := len(distinct) - 1; last >= 0 && distinct[last].id == t.id {
			distinct[last].changes++
		} else {
			distinct = append(distinct, t)
		}
	}
	r.tickets = distinct
	return r
}

// EventIDs returns the ids of the events, each once, in the order in which the changes name them: they are to be looked up in the log.
func (r *Recording) EventIDs() []string {
	ids := make([]string, 0, len(r.firsts))
	for i := range r.changes {
		if id := r.changes[i].EventID; r.firsts[id] == i {
			ids = append(ids, id)
		}
	}
	return ids
}

// Logged says that the log has an event of the batch: all changes of that event are duplicates.
func (r *Recording) Logged(eventID string) {
	i, ok := r.firsts[eventID]
	if !ok || r.recorded[i].Duplicate {
		return
	}
	r.recorded[i].Duplicate = true
	r.ticket(r.changes[i].TicketID).changes--
}

// TicketIDs returns the tickets of the changes that are not known to be duplicates, each once, in byte order. Before [Recording.Logged]
// says anything, only the changes of an event that comes earlier in the batch are.
func (r *Recording) TicketIDs() []string {
	ids := make([]string, 0, len(r.tickets))
	for i := range r.tickets {
		if r.tickets[i].changes > 0 {
			ids = append(ids, r.tickets[i].id)
		}
	}
	return ids
}

// Needs tells whether a change that is not known to be a duplicate is about the ticket.
func (r *Recording) Needs(ticketID string) bool {
	t := r.ticket(ticketID)
	return t != nil && t.changes > 0
}

// FirstTicketID returns the ticket of the batch's first change. It is empty for a batch without changes.
func (r *Recording) FirstTicketID() string {
	if len(r.changes) == 0 {
		return ""
	}
	return r.changes[0].TicketID
}

// TakeRoom reports whether the batch has room for a stored ticket that takes so many bytes of memory, and defers the ticket if not. Another
// call for the same ticket, once more is known of its size, replaces the first. There is always room for the ticket of the batch's first
// change.
func (r *Recording) TakeRoom(ticketID string, bytes int) bool {
	t := r.ticket(ticketID)
	if t == nil {
		return false
	}
	if others := r.loadedBytes - t.loadedBytes; others+bytes > MaxLoadedBytes && ticketID != r.FirstTicketID() {
		r.Defer(ticketID)
		return false
	}
	r.loadedBytes += bytes - t.loadedBytes
	t.loadedBytes = bytes
	return true
}

// Defer says that a ticket of the batch is left for the next one: its new changes are [Recorded.Deferred]. It is not for the ticket of the
// batch's first change.
func (r *Recording) Defer(ticketID string) {
	if t := r.ticket(ticketID); t != nil {
		t.deferred = true
		r.loadedBytes -= t.loadedBytes
		t.loadedBytes = 0
	}
}

// Load says how a ticket of the batch is kept; one of which nothing is said is new. The record becomes the recording's: it is what
// [Recording.Merge] changes and returns.
func (r *Recording) Load(ticketID string, record *Record) {
	if t := r.ticket(ticketID); t != nil {
		t.record, t.kept, t.before = record, true, record.Ticket.Group()
		t.title, t.description = record.Ticket.Title, record.Ticket.Description
	}
}

// Erased says that a ticket of the batch was erased: its new changes are dropped.
func (r *Recording) Erased(ticketID string) {
	if t := r.ticket(ticketID); t != nil {
		t.erased = true
	}
}

// Fail says that a ticket of the batch can't be used: its new changes get err, and the others go on.
func (r *Recording) Fail(ticketID string, err error) {
	if t := r.ticket(ticketID); t != nil {
		t.err = err
	}
}

// Merge merges the new changes into their tickets. It returns the events to add to the log, in this order, and the tickets to write, by
// id in byte order. It is to be called once.
func (r *Recording) Merge() (events []*Change, records []*Record) {
	events = make([]*Change, 0, len(r.changes))
	for i := range r.changes {
		c := &r.changes[i]
		if r.recorded[i].Duplicate {
			// The duplicate of an event that is not recorded is none.
			if first := r.recorded[r.firsts[c.EventID]]; first.Err != nil || first.Erased || first.Deferred {
				r.recorded[i] = first
			}
			continue
		}
		t := r.ticket(c.TicketID)
		if t.err != nil || t.erased || t.deferred {
			r.recorded[i] = Recorded{Err: t.err, Erased: t.erased, Deferred: t.deferred}
			continue
		}
		if t.record == nil {
			t.record = NewRecord(t.id)
		}
		if err := t.merge(c); err != nil {
			r.recorded[i] = Recorded{Err: err}
			t.changes--
			continue
		}
		events = append(events, c)
	}
	records = make([]*Record, 0, len(r.tickets))
	for i := range r.tickets {
		if t := &r.tickets[i]; t.written() {
			records = append(records, t.record)
		}
	}
	return events, records
}

// Words returns the words by which a ticket of the batch was found before, and those by which it is found after [Recording.Merge]. Both
// are empty where neither title nor description changed.
func (r *Recording) Words(ticketID string) (before, after string) {
	t := r.ticket(ticketID)
	if t == nil || t.record == nil || t.title == t.record.Ticket.Title && t.description == t.record.Ticket.Description {
		return "", ""
	}
	return words(t.title, t.description), t.record.Ticket.Words()
}

// SetLogEnd says where the log ends in the transaction of the recording, after the events that [Recording.Merge] returned.
func (r *Recording) SetLogEnd(end Mark) {
	for i := range r.recorded {
		if r.recorded[i].Err == nil {
			r.recorded[i].LogEnd = end
		}
	}
}

// Recorded returns what became of each change, in their order, after [Recording.Merge].
func (r *Recording) Recorded() []Recorded { return r.recorded }

// ticket returns the ticket of a first change, and nil for any other.
func (r *Recording) ticket(id string) *merging {
	i, found := slices.BinarySearchFunc(r.tickets, id, func(t merging, id string) int { return cmp.Compare(t.id, id) })
	if !found {
		return nil
	}
	return &r.tickets[i]
}
