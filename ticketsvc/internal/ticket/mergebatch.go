package ticket

import (
	"cmp"
	"slices"
)

// MergeBatch is the part of [Store.Append] that needs no database: which changes are new, which tickets they need, and how they are merged.
// It is for one batch, and not for concurrent use.
//
// A store looks up the events in its log and reports those it finds, loads the needed tickets, merges, and writes the result:
//
//	EventIDs → MarkLogged … → TicketIDs → ReserveMemory, and Load, MarkErased, Fail or Defer … → Merge → SetLogEnd → Results
//
// A store that has to lock tickets before it looks at the log calls TicketIDs first, and later [MergeBatch.Needs] for each ticket.
type MergeBatch struct {
	changes []Change
	// results are complete after Merge. Before, only Duplicate is set.
	results []AppendResult
	// firsts holds for each event the index of its first change, which counts.
	firsts map[string]int
	// tickets are the tickets of the first changes, in byte order of their ids.
	tickets []merging
	// loadedBytes is the sum of the tickets' loadedBytes.
	loadedBytes int
}

// MaxLoadedBytes is the maximum size in memory of the loaded tickets of one batch, except the ticket of the first change: small events can
// be for tickets of 11 MiB each. A store has a few more copies of the tickets while it writes them. The tickets of a usual batch take 2
// MiB.
const MaxLoadedBytes = 32 << 20

// merging is a ticket of the batch. It is read once and written once, however many changes it has.
type merging struct {
	id string
	// changes is the number of its changes that are not duplicates.
	changes int
	// state is nil until the ticket is loaded or, if it is new, until its first change is merged.
	state *State
	// most is an upper bound of the weight of the ticket. It is zero until a change is merged.
	most Weight
	// title and description are those of the loaded ticket.
	title, description string
	// err is the reason why the ticket can't be used.
	err error
	// erased is set if the ticket was erased.
	erased bool
	// deferred is set if the ticket is left for the next batch.
	deferred bool
	// loadedBytes is the size in memory of the loaded state.
	loadedBytes int
	// stored is set if the ticket was stored before, in the group before.
	stored bool
	before Group
}

// written reports whether the ticket has to be written.
func (m *merging) written() bool { return m.changes > 0 && m.err == nil && !m.erased && !m.deferred }

// merge merges a change into the ticket. The error is [ErrTicketTooLarge]. Weighing a ticket with many elements takes long, so merge weighs
// it only if the sum of the weights of its changes is above the limit.
func (m *merging) merge(c *Change) error {
	if m.most == (Weight{}) {
		m.most = m.state.Ticket.weight()
	}
	if most := m.most.Plus(c.Values.weight()); most.fits() {
		m.most = most
		m.state.Apply(c)
		return nil
	}
	err := m.state.TryApply(c)
	m.most = m.state.Ticket.weight()
	return err
}

// NewMergeBatch returns the batch of changes, which must not be modified before the batch is done.
func NewMergeBatch(changes []Change) *MergeBatch {
	r := &MergeBatch{
		changes: changes,
		results: make([]AppendResult, len(changes)),
		firsts:  make(map[string]int, len(changes)),
		tickets: make([]merging, 0, len(changes)),
	}
	for i := range changes {
		if _, repeated := r.firsts[changes[i].EventID]; repeated {
			r.results[i].Duplicate = true
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

// EventIDs returns the ids of the events to look up in the log, each once, in the order of the changes.
func (r *MergeBatch) EventIDs() []string {
	ids := make([]string, 0, len(r.firsts))
	for i := range r.changes {
		if id := r.changes[i].EventID; r.firsts[id] == i {
			ids = append(ids, id)
		}
	}
	return ids
}

// MarkLogged reports that the log has an event of the batch: all changes of that event are duplicates.
func (r *MergeBatch) MarkLogged(eventID string) {
	i, ok := r.firsts[eventID]
	if !ok || r.results[i].Duplicate {
		return
	}
	r.results[i].Duplicate = true
	r.ticket(r.changes[i].TicketID).changes--
}

// TicketIDs returns the ids of the tickets that have changes which are not known to be duplicates, each once, in byte order. Before calls
// of [MergeBatch.MarkLogged] only repeats within the batch are known to be duplicates.
func (r *MergeBatch) TicketIDs() []string {
	ids := make([]string, 0, len(r.tickets))
	for i := range r.tickets {
		if r.tickets[i].changes > 0 {
			ids = append(ids, r.tickets[i].id)
		}
	}
	return ids
}

// Needs reports whether the ticket has a change that is not known to be a duplicate.
func (r *MergeBatch) Needs(ticketID string) bool {
	t := r.ticket(ticketID)
	return t != nil && t.changes > 0
}

// FirstTicketID returns the id of the ticket of the batch's first change. Empty if the batch has no changes.
func (r *MergeBatch) FirstTicketID() string {
	if len(r.changes) == 0 {
		return ""
	}
	return r.changes[0].TicketID
}

// ReserveMemory reports whether a stored ticket of that size in memory fits in [MaxLoadedBytes], and defers the ticket if not. A second
// call for the same ticket replaces the first. The ticket of the batch's first change always fits.
func (r *MergeBatch) ReserveMemory(ticketID string, bytes int) bool {
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

// Defer leaves a ticket for the next batch: its new changes get [AppendResult.Deferred]. The ticket of the batch's first change can't be
// deferred.
func (r *MergeBatch) Defer(ticketID string) {
	if t := r.ticket(ticketID); t != nil {
		t.deferred = true
		r.loadedBytes -= t.loadedBytes
		t.loadedBytes = 0
	}
}

// Load sets the stored state of a ticket. A ticket that is not loaded is new. The batch owns the state afterwards: [MergeBatch.Merge]
// modifies and returns it.
func (r *MergeBatch) Load(ticketID string, state *State) {
	if t := r.ticket(ticketID); t != nil {
		t.state, t.stored, t.before = state, true, state.Ticket.Group()
		t.title, t.description = state.Ticket.Title, state.Ticket.Description
	}
}

// MarkErased reports that a ticket of the batch was erased: its new changes are dropped.
func (r *MergeBatch) MarkErased(ticketID string) {
	if t := r.ticket(ticketID); t != nil {
		t.erased = true
	}
}

// Fail reports that a ticket of the batch can't be used: its new changes get err. Other tickets are not affected.
func (r *MergeBatch) Fail(ticketID string, err error) {
	if t := r.ticket(ticketID); t != nil {
		t.err = err
	}
}

// Merge merges the new changes into their tickets. It returns the events to add to the log, in this order, and the tickets to write, in
// byte order of their ids. It must be called once.
func (r *MergeBatch) Merge() (events []*Change, states []*State) {
	events = make([]*Change, 0, len(r.changes))
	for i := range r.changes {
		c := &r.changes[i]
		if r.results[i].Duplicate {
			// A repeat of an event that is not recorded gets the same result.
			if first := r.results[r.firsts[c.EventID]]; first.Err != nil || first.Erased || first.Deferred {
				r.results[i] = first
			}
			continue
		}
		t := r.ticket(c.TicketID)
		if t.err != nil || t.erased || t.deferred {
			r.results[i] = AppendResult{Err: t.err, Erased: t.erased, Deferred: t.deferred}
			continue
		}
		if t.state == nil {
			t.state = NewState(t.id)
		}
		if err := t.merge(c); err != nil {
			r.results[i] = AppendResult{Err: err}
			t.changes--
			continue
		}
		events = append(events, c)
	}
	states = make([]*State, 0, len(r.tickets))
	for i := range r.tickets {
		if t := &r.tickets[i]; t.written() {
			states = append(states, t.state)
		}
	}
	return events, states
}

// Words returns the words by which text search found a ticket before [MergeBatch.Merge], and those by which it finds the ticket after it.
// Both are empty if neither title nor description changed.
func (r *MergeBatch) Words(ticketID string) (before, after string) {
	t := r.ticket(ticketID)
	if t == nil || t.state == nil || t.title == t.state.Ticket.Title && t.description == t.state.Ticket.Description {
		return "", ""
	}
	return words(t.title, t.description), t.state.Ticket.Words()
}

// SetLogEnd sets the end of the log in the transaction, after the events that [MergeBatch.Merge] returned.
func (r *MergeBatch) SetLogEnd(end LogPosition) {
	for i := range r.results {
		if r.results[i].Err == nil {
			r.results[i].LogEnd = end
		}
	}
}

// Results returns the result of each change, in their order, after [MergeBatch.Merge].
func (r *MergeBatch) Results() []AppendResult { return r.results }

// ticket returns the ticket of a first change, and nil for any other.
func (r *MergeBatch) ticket(id string) *merging {
	i, found := slices.BinarySearchFunc(r.tickets, id, func(t merging, id string) int { return cmp.Compare(t.id, id) })
	if !found {
		return nil
	}
	return &r.tickets[i]
}
