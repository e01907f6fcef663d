package ticketcodec

import (
	"errors"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// LogRow is one entry of the log as databases store it, with the row of its ticket.
type LogRow struct {
	// Event has only the values of columns: its sequence number, its ids and its name.
	Event ticket.Event
	// OccurTime, ReceiveTime and Content are the rest of the event.
	OccurTime, ReceiveTime string
	Content                []byte
	// Nonce is the random number that the event got when it was recorded. 0 if an older version recorded the event.
	Nonce int64

	// Erased is set if the ticket was erased.
	Erased bool
	// TicketBytes is the stored size of the ticket.
	TicketBytes int
	// Ticket and Versions are the stored ticket and its versions. They may be missing if an earlier row of the page has them.
	Ticket, Versions []byte
}

// LogPage decodes the rows of a database into entries of the log. It is for one page, and not for concurrent use.
type LogPage struct {
	page    ticket.Page
	budget  ticket.MemoryBudget
	entries []ticket.Entry
	tickets map[string]loggedTicket
}

// loggedTicket is the ticket of a row. state is nil if a newer version of the service wrote the ticket.
type loggedTicket struct {
	weight ticket.Weight
	ticket *ticket.Ticket
	state  *ticket.State
	err    error
}

// NewLogPage returns a page without entries.
func NewLogPage(limit ticket.PageLimit) *LogPage {
	budget := limit.Budget
	limit.Budget = nil
	return &LogPage{page: ticket.NewPage(limit), budget: budget, tickets: map[string]loggedTicket{}}
}

// Add adds the next row. If the page has no space for the row, Add returns false and adds nothing. The caller may reuse the row's bytes
// afterwards.
func (p *LogPage) Add(row *LogRow) bool {
	t, seen := p.tickets[row.Event.TicketID]
	weight := WeighEvent(row.Content)
	// A ticket of the maximum size is allowed together with an event of any size, so each asks for memory separately.
	err := p.budget.Reserve(row.Event.TicketID, weight)
	if !seen && !row.Erased {
		t.weight = ticket.Weight{Bytes: row.TicketBytes, Elements: WeighTicket(row.Ticket).Elements}
		weight = weight.Plus(t.weight)
		if err == nil {
			err = p.budget.Reserve(row.Event.TicketID, t.weight)
		}
	}
	if err != nil {
		// The entry must not block the entries after it.
		weight, t = ticket.Weight{}, loggedTicket{err: err}
	}
	if added, err := p.page.Add(row.Event.TicketID, weight); err != nil || !added {
		return false
	}
	if !seen && !row.Erased {
		if t.err == nil {
			t = unmarshalLogged(row, t.weight)
		}
		p.tickets[row.Event.TicketID] = t
	}
	p.entries = append(p.entries, newEntry(row, t))
	return true
}

// Entries returns the entries of the page.
func (p *LogPage) Entries() []ticket.Entry { return p.entries }

func unmarshalLogged(row *LogRow, weight ticket.Weight) loggedTicket {
	state, err := UnmarshalState(row.Ticket, row.Versions)
	switch {
	case err == nil:
		return loggedTicket{weight: weight, ticket: &state.Ticket, state: state}
	case !errors.Is(err, ticket.ErrNewerVersion):
		return loggedTicket{err: ticket.DecodeError(row.Event.TicketID, err)}
	}
	t, err := UnmarshalTicket(row.Event.TicketID, row.Ticket)
	return loggedTicket{weight: weight, ticket: &t, err: err}
}

func newEntry(row *LogRow, t loggedTicket) ticket.Entry {
	e := ticket.Entry{Event: row.Event, Position: row.Event.Position(row.Nonce)}
	if errors.Is(t.err, ticket.ErrNoMemory) {
		e.Err = t.err
		return e
	}
	err := CompleteEvent(&e.Event, row.OccurTime, row.ReceiveTime, row.Content)
	if errors.Is(err, ticket.ErrNewerVersion) || row.Erased {
		err = nil // The remains of an erased ticket must not block the entries after it.
	}
	switch {
	case row.Erased:
		e.Event.Outcome = ticket.OutcomeErased
	case t.state != nil:
		e.Event.Outcome = t.state.Outcome(e.Event.EventID, e.Event.ChangedFields)
	}
	if err == nil {
		err = t.err
	}
	if err != nil {
		e.Err = err
		return e
	}
	e.Ticket, e.Weight = t.ticket, WeighEvent(row.Content).Plus(t.weight)
	return e
}

// UnmarshalChange returns the change of a row of the log and its payload, without data that only a newer version of the service knows. The
// error is that of [ticket.DecodeError].
func UnmarshalChange(row *LogRow, fullSnapshot bool, payload []byte) (ticket.Change, error) {
	e := row.Event
	if err := CompleteEvent(&e, row.OccurTime, row.ReceiveTime, row.Content); err != nil && !errors.Is(err, ticket.ErrNewerVersion) {
		return ticket.Change{}, err
	}
	values, err := UnmarshalTicket(e.TicketID, payload)
	if err != nil {
		return ticket.Change{}, err
	}
	return ticket.Change{EventID: e.EventID, Name: e.Name, TicketID: e.TicketID, OccurTime: e.OccurTime, ReceiveTime: e.ReceiveTime,
		FullSnapshot: fullSnapshot, Fields: e.ChangedFields.Fields, ElementChanges: e.ChangedFields.ElementChanges,
		VersionWithoutUpdateTime: !e.ChangedFields.VersionHasUpdateTime, Values: values}, nil
}
