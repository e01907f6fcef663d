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
	b := &MergeBatch{
		changes: changes,
		results: make([]AppendResult, len(changes)),
		firsts:  make(map[string]int, len(changes)),
		tickets: make([]merging, 0, len(changes)),
	}
	for i := range changes {
		if _, repeated := b.firsts[changes[i].EventID]; repeated {
			b.results[i].Duplicate = true
			continue
		}
		b.firsts[changes[i].EventID] = i
		b.tickets = append(b.tickets, merging{id: changes[i].TicketID, changes: 1})
	}
	slices.SortFunc(b.tickets, func(a, b merging) int { return cmp.Compare(a.id, b.id) })
	distinct := b.tickets[:0]
	for _, t := range b.tickets {
		if last := len(distinct) - 1; last >= 0 && distinct[last].id == t.id {
			distinct[last].changes++
		} else {
			distinct = append(distinct, t)
		}
	}
	b.tickets = distinct
	return b
}

// EventIDs returns the ids of the events to look up in the log, each once, in the order of the changes.
func (b *MergeBatch) EventIDs() []string {
	ids := make([]string, 0, len(b.firsts))
	for i := range b.changes {
		if id := b.changes[i].EventID; b.firsts[id] == i {
			ids = append(ids, id)
		}
	}
	return ids
}

// MarkLogged reports that the log has an event of the batch: all changes of that event are duplicates.
func (b *MergeBatch) MarkLogged(eventID string) {
	i, ok := b.firsts[eventID]
	if !ok || b.results[i].Duplicate {
		return
	}
	b.results[i].Duplicate = true
	b.ticket(b.changes[i].TicketID).changes--
}

// TicketIDs returns the ids of the tickets that have changes which are not known to be duplicates, each once, in byte order. Before calls
// of [MergeBatch.MarkLogged] only repeats within the batch are known to be duplicates.
func (b *MergeBatch) TicketIDs() []string {
	ids := make([]string, 0, len(b.tickets))
	for i := range b.tickets {
		if b.tickets[i].changes > 0 {
			ids = append(ids, b.tickets[i].id)
		}
	}
	return ids
}

// Needs reports whether the ticket has a change that is not known to be a duplicate.
func (b *MergeBatch) Needs(ticketID string) bool {
	t := b.ticket(ticketID)
	return t != nil && t.changes > 0
}

// FirstTicketID returns the id of the ticket of the batch's first change. Empty if the batch has no changes.
func (b *MergeBatch) FirstTicketID() string {
	if len(b.changes) == 0 {
		return ""
	}
	return b.changes[0].TicketID
}

// ReserveMemory reports whether a stored ticket of that size in memory fits in [MaxLoadedBytes], and defers the ticket if not. A second
// call for the same ticket replaces the first. The ticket of the batch's first change always fits.
func (b *MergeBatch) ReserveMemory(ticketID string, bytes int) bool {
	t := b.ticket(ticketID)
	if t == nil {
		return false
	}
	if others := b.loadedBytes - t.loadedBytes; others+bytes > MaxLoadedBytes && ticketID != b.FirstTicketID() {
		b.Defer(ticketID)
		return false
	}
	b.loadedBytes += bytes - t.loadedBytes
	t.loadedBytes = bytes
	return true
}

// Defer leaves a ticket for the next batch: its new changes get [AppendResult.Deferred]. The ticket of the batch's first change can't be
// deferred.
func (b *MergeBatch) Defer(ticketID string) {
	if t := b.ticket(ticketID); t != nil {
		t.deferred = true
		b.loadedBytes -= t.loadedBytes
		t.loadedBytes = 0
	}
}

// Load sets the stored state of a ticket. A ticket that is not loaded is new. The batch owns the state afterwards: [MergeBatch.Merge]
// modifies and returns it.
func (b *MergeBatch) Load(ticketID string, state *State) {
	if t := b.ticket(ticketID); t != nil {
		t.state, t.stored, t.before = state, true, state.Ticket.Group()
		t.title, t.description = state.Ticket.Title, state.Ticket.Description
	}
}

// MarkErased reports that a ticket of the batch was erased: its new changes are dropped.
func (b *MergeBatch) MarkErased(ticketID string) {
	if t := b.ticket(ticketID); t != nil {
		t.erased = true
	}
}

// Fail reports that a ticket of the batch can't be used: its new changes get err. Other tickets are not affected.
func (b *MergeBatch) Fail(ticketID string, err error) {
	if t := b.ticket(ticketID); t != nil {
		t.err = err
	}
}

// Merge merges the new changes into their tickets. It returns the events to add to the log, in this order, and the tickets to write, in
// byte order of their ids. It must be called once.
func (b *MergeBatch) Merge() (events []*Change, states []*State) {
	events = make([]*Change, 0, len(b.changes))
	for i := range b.changes {
		c := &b.changes[i]
		if b.results[i].Duplicate {
			// A repeat of an event that is not recorded gets the same result.
			if first := b.results[b.firsts[c.EventID]]; first.Err != nil || first.Erased || first.Deferred {
				b.results[i] = first
			}
			continue
		}
		t := b.ticket(c.TicketID)
		if t.err != nil || t.erased || t.deferred {
			b.results[i] = AppendResult{Err: t.err, Erased: t.erased, Deferred: t.deferred}
			continue
		}
		if t.state == nil {
			t.state = NewState(t.id)
		}
		if err := t.merge(c); err != nil {
			b.results[i] = AppendResult{Err: err}
			t.changes--
			continue
		}
		events = append(events, c)
	}
	states = make([]*State, 0, len(b.tickets))
	for i := range b.tickets {
		if t := &b.tickets[i]; t.written() {
			states = append(states, t.state)
		}
	}
	return events, states
}

// Words returns the words by which text search found a ticket before [MergeBatch.Merge], and those by which it finds the ticket after it.
// Both are empty if neither title nor description changed.
func (b *MergeBatch) Words(ticketID string) (before, after string) {
	t := b.ticket(ticketID)
	if t == nil || t.state == nil || t.title == t.state.Ticket.Title && t.description == t.state.Ticket.Description {
		return "", ""
	}
	return words(t.title, t.description), t.state.Ticket.Words()
}

// SetLogEnd sets the end of the log in the transaction, after the events that [MergeBatch.Merge] returned.
func (b *MergeBatch) SetLogEnd(end LogPosition) {
	for i := range b.results {
		if b.results[i].Err == nil {
			b.results[i].LogEnd = end
		}
	}
}

// Results returns the result of each change, in their order, after [MergeBatch.Merge].
func (b *MergeBatch) Results() []AppendResult { return b.results }

// ticket returns the ticket of a first change, and nil for any other.
func (b *MergeBatch) ticket(id string) *merging {
	i, found := slices.BinarySearchFunc(b.tickets, id, func(t merging, id string) int { return cmp.Compare(t.id, id) })
	if !found {
		return nil
	}
	return &b.tickets[i]
}
