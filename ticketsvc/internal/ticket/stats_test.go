package ticket_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
)

func TestTicket_WaitingSince(t *testing.T) {
	t.Parallel()
	none, first, second, third := ticket.Instant{}, tickettest.At(1), tickettest.At(2), tickettest.At(3)
	for name, test := range map[string]struct {
		of   ticket.Ticket
		want ticket.Instant
	}{
		"the status's own time":        {ticket.Ticket{LastStatusUpdateTime: second, CreateTime: first, UpdateTime: third}, second},
		"none, but of the creation":    {ticket.Ticket{CreateTime: second, UpdateTime: third}, second},
		"none, but of the last change": {ticket.Ticket{UpdateTime: third}, third},
		"in any open status":           {ticket.Ticket{Status: ticket.StatusWaitingForExternal, UpdateTime: third}, third},
		"closed":                       {ticket.Ticket{Status: ticket.StatusClosed, LastStatusUpdateTime: second, UpdateTime: third}, none},
	} {
		if got := test.of.WaitingSince(); got != test.want {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
}

func TestParseWaiting(t *testing.T) {
	t.Parallel()
	inOrder := []ticket.Waiting{
		{"z", ticket.Instant{Set: true, Seconds: -62135596800}}, {"", tickettest.At(1)}, {"a", tickettest.At(1)}, {"é\x00", tickettest.At(1)},
		{"a", tickettest.At(2)},
	}
	var last string
	for i, waiting := range inOrder {
		text := waiting.Since.SortableText() + waiting.TicketID
		got, err := ticket.ParseWaiting(text)
		if err != nil || *got != waiting || text <= last {
			t.Errorf("ParseWaiting(%q) = %+v, %v; want %+v, and the text behind %q", text, got, err, waiting, last)
		}
		last = text
		if i > 0 && (waiting.Compare(inOrder[i-1]) != 1 || inOrder[i-1].Compare(waiting) != -1 || waiting.Compare(*got) != 0) {
			t.Errorf("%+v does not come behind %+v", waiting, inOrder[i-1])
		}
	}
	if got, err := ticket.ParseWaiting(""); got != nil || err != nil {
		t.Errorf("ParseWaiting of nothing = %v, %v", got, err)
	}
	for _, text := range []string{"x", "2026-03-02T07:15:30Z", "yesterday, or perhaps the day before"} {
		if _, err := ticket.ParseWaiting(text); !errors.Is(err, ticket.ErrCorrupt) {
			t.Errorf("ParseWaiting(%q): %v, want ErrCorrupt", text, err)
		}
	}
}

func TestStats_Add(t *testing.T) {
	t.Parallel()
	early, late := &ticket.Waiting{"b", tickettest.At(1)}, &ticket.Waiting{"a", tickettest.At(2)}
	alike := &ticket.Waiting{"a", tickettest.At(1)}
	var s ticket.Stats
	s.Add(ticket.StatusClosed, true, 0, nil)
	if !cmp.Equal(s, ticket.Stats{}) {
		t.Errorf("of no tickets: %+v", s)
	}
	s.Add(ticket.StatusClosed, true, 5, nil)
	s.Add(ticket.StatusWaitingForAgent, false, 3, late)
	s.Add(ticket.StatusWaitingForAgent, true, 2, early)
	s.Add(ticket.StatusUnspecified, true, 1, alike)
	s.Add(ticket.StatusUnspecified, false, 1, late)
	want := ticket.Stats{Total: 12, Unassigned: 3, LongestWaiting: alike,
		ByStatus: map[ticket.Status]int64{ticket.StatusClosed: 5, ticket.StatusWaitingForAgent: 5, ticket.StatusUnspecified: 2}}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Error(diff)
	}
}

func TestMergeBatch_GroupChanges(t *testing.T) {
	t.Parallel()
	status := func(eventID, ticketID, text string) ticket.Change {
		return ticket.Change{EventID: eventID, Name: ticket.Updated, TicketID: ticketID, OccurTime: tickettest.At(5),
			Fields: tickettest.Named("status_text"), Values: ticket.Ticket{StatusText: text}}
	}
	kept := func(id string, c ticket.Change) *ticket.State {
		state := ticket.NewState(id)
		state.Apply(&c)
		return state
	}
	opened := func(id string) *ticket.State { return kept(id, status("0", id, "waiting-for-agent")) }
	b := ticket.NewMergeBatch([]ticket.Change{
		status("1", "new", "waiting-for-agent"), status("2", "new, and closed", "waiting-for-agent"), status("3", "new, and closed", "closed"),
		status("4", "moved", "closed"), status("5", "as it was", "waiting-for-agent"),
		status("6", "logged", "closed"), status("7", "failed", "closed"), status("8", "erased", "closed"), status("1", "new", "closed"),
		status("9", "there and back", "closed"), status("a", "there and back", "waiting-for-agent"),
		status("b", "opened", "waiting-for-external"),
		{EventID: "c", Name: ticket.Updated, TicketID: "opened", OccurTime: tickettest.At(6), Fields: tickettest.Named("assignee_id", "app_id"),
			Values: ticket.Ticket{AssigneeID: "user", AppID: "app"}},
	})
	for _, id := range []string{"moved", "as it was", "logged", "there and back"} {
		b.Load(id, opened(id))
	}
	b.Load("opened", kept("opened", status("0", "opened", "closed")))
	b.MarkLogged("6")
	b.Fail("failed", ticket.ErrLocked)
	b.MarkErased("erased")
	b.Merge()
	want := []ticket.GroupChange{
		// "new, and closed" and "moved" were added, and "opened" was removed. One of those that wait for an agent was added, and one was removed.
		{ticket.Group{Status: ticket.StatusClosed, Unassigned: true}, 1},
		{ticket.Group{Status: ticket.StatusWaitingForExternal, AppID: "app"}, 1},
	}
	if diff := cmp.Diff(want, b.GroupChanges()); diff != "" {
		t.Error(diff)
	}
}
