package watch_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/watch"
)

// small are limits that are met with few events.
func small() watch.Limits {
	limits := watch.DefaultLimits()
	limits.WindowEntries, limits.Tail.Items, limits.Page.Items, limits.Before.Items = 4, 3, 2, 6
	return limits
}

// drawFilter draws a filter that tickets of [drawChange] come to match and cease to.
func drawFilter(t *rapid.T) ticket.Filter {
	var f ticket.Filter
	some := func(name string) bool { return rapid.IntRange(0, 3).Draw(t, name) == 0 }
	if some("by status") {
		f.Statuses = []ticket.Status{ticket.StatusClosed}
	}
	if some("by App") {
		f.AppIDs = []string{"a"}
	}
	if some("by property") {
		f.PropertyIDs = []string{"a", "b"}
	}
	switch rapid.IntRange(0, 3).Draw(t, "by user") {
	case 0:
		f.Unassigned = true
	case 1:
		f.AssigneeID = "b"
	}
	if some("by text") {
		f.Text = "a"
	}
	if some("from a time") {
		f.UpdatedAfter = tickettest.At(2)
	}
	if some("before a time") {
		f.UpdatedBefore = tickettest.At(4)
	}
	return f
}

func drawChange(t *rapid.T, number int) ticket.Change {
	value := rapid.SampledFrom([]string{"", "a", "b", "closed"})
	c := ticket.Change{EventID: fmt.Sprintf("e%d", number), Name: ticket.Updated, TicketID: drawTicketID(t),
		OccurTime: tickettest.At(rapid.Int64Range(1, 4).Draw(t, "time"))}
	for _, name := range []string{"status_text", "app_id", "property_id", "assignee_id", "title", "update_time"} {
		if rapid.IntRange(0, 2).Draw(t, name) != 0 {
			continue
		}
		f, _ := ticket.ParseField(name)
		c.Fields = c.Fields.With(f)
		switch field := f.Ref(&c.Values).(type) {
		case *string:
			*field = value.Draw(t, "value")
		case *ticket.Instant:
			*field = tickettest.At(rapid.Int64Range(1, 4).Draw(t, "update time"))
		}
	}
	switch rapid.IntRange(0, 7).Draw(t, "not typed") {
	case 0:
		c.Fields = c.Fields.With(titleField)
		c.Values.Title, c.Values.Attributes = "", map[string]string{"title": "{}"}
	case 1:
		c.Fields, c.ElementChanges = c.Fields.With(labelsField), c.ElementChanges.With(labelsField)
		c.Values.Attributes = map[string]string{"labels": `{"added":["a"]}`}
	}
	return c
}

func drawTicketID(t *rapid.T) string {
	return rapid.SampledFrom([]string{"t1", "t2", "t3", "t4", "t5"}).Draw(t, "ticket")
}

// copier keeps a copy of the tickets that match a filter, as a client does.
type copier struct {
	log    *memory
	filter ticket.Filter
	// resumePoint is that of the last message. Nil at the beginning.
	resumePoint *watch.ResumePoint
	tickets     map[string]ticket.Ticket
	sequence    int64
	seen        map[int64]bool
}

// startAgain drops the copy.
func (c *copier) startAgain() {
	*c = copier{log: c.log, filter: c.filter, tickets: map[string]ticket.Ticket{}, seen: map[int64]bool{}}
}

// take takes a message over into the copy, and returns what is wrong with it.
func (c *copier) take(m watch.Message) error {
	c.resumePoint = &m.ResumePoint
	if m.Kind == watch.Heartbeat {
		return nil
	}
	if m.Entry == nil {
		if !c.filter.Matches(m.Ticket) {
			return fmt.Errorf("the snapshot has %s, which does not match", m.Ticket.ID)
		}
		c.tickets[m.Ticket.ID] = *m.Ticket
		return nil
	}
	e := m.Entry.Event
	if e.Sequence <= c.sequence || m.ResumePoint.Position != m.Entry.Position || m.ResumePoint.Snapshot {
		return fmt.Errorf("after position %d comes %d, and then %+v", c.sequence, e.Sequence, m.ResumePoint)
	}
	c.sequence = e.Sequence
	c.seen[e.Sequence] = true
	switch m.Kind {
	case watch.Change:
		if !c.filter.Matches(m.Ticket) || m.Ticket.ID != e.TicketID {
			return fmt.Errorf("the change at %d has a ticket that does not match", e.Sequence)
		}
		c.tickets[e.TicketID] = *m.Ticket
		return nil
	case watch.NoLongerMatches:
		c.log.mu.Lock()
		before, events := c.log.fold(e.TicketID, e.Sequence)
		c.log.mu.Unlock()
		if events <= small().Before.Items && !c.filter.Matches(&before) {
			return fmt.Errorf("%s is said to leave at %d, and did not match before", e.TicketID, e.Sequence)
		}
	}
	delete(c.tickets, e.TicketID)
	return nil
}

// check returns what the copy differs in from the tickets that match.
func (c *copier) check() error {
	if diff := cmp.Diff(c.log.matching(c.filter), c.tickets); diff != "" {
		return fmt.Errorf("the copy differs: %s", diff)
	}
	if (cmp.Equal(c.filter, ticket.Filter{})) {
		// Without a filter it has seen every event since the snapshot, except those of tickets that are erased by now.
		c.log.mu.Lock()
		defer c.log.mu.Unlock()
		for position := c.first() + 1; position <= int64(len(c.log.changes)); position++ {
			if change := c.log.changes[position-1]; !c.seen[position] && (change.Name == ticket.Erased || !c.log.erased[change.TicketID]) {
				return fmt.Errorf("it has not seen position %d", position)
			}
		}
	}
	return nil
}

// first returns the first position that it has seen, less one.
func (c *copier) first() int64 {
	first := int64(len(c.log.changes))
	for position := range c.seen {
		first = min(first, position-1)
	}
	return first
}

// TestFeed_property has a client that keeps a copy by two feeds of one log, and is cut off now and then, while the log grows, or is
// replaced by a backup of itself.
func TestFeed_property(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rapid.SyncTest(t, func(t *rapid.T) {
			log := newMemory()
			log.deaf = rapid.Bool().Draw(t, "no hints")
			backup := log.backup()
			var feeds [2]*watch.Feed
			open := func() {
				for i := range feeds {
					feeds[i] = watch.New(log, small(), notices(func(err error) { t.Error(err) }, func() {}))
				}
			}
			open()
			c := &copier{log: log, filter: drawFilter(t)}
			c.startAgain()
			var w *watch.Watcher
			restored := false
			cutOff := func() {
				if w != nil {
					w.Close()
					w = nil
				}
			}
			closeAll := func() {
				cutOff()
				for _, f := range feeds {
					if watchers, waiting := f.Waiting(); watchers != 0 || waiting != 0 {
						t.Errorf("all are closed, and there are %d watchers, of which %d wait", watchers, waiting)
					}
					f.Close()
				}
			}
			defer func() { closeAll() }()
			next := func() {
				for w == nil {
					var err error
					w, err = feeds[rapid.IntRange(0, 1).Draw(t, "feed")].Watch(t.Context(), "caller", c.filter, c.resumePoint)
					switch {
					case errors.Is(err, watch.ErrNotInLog) && restored:
						c.startAgain()
					case err != nil:
						t.Fatal(err)
					}
				}
				m, err := w.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if err := c.take(m); err != nil {
					t.Fatal(err)
				}
			}
			events := 0
			for range rapid.IntRange(1, 40).Draw(t, "steps") {
				switch rapid.IntRange(0, 12).Draw(t, "step") {
				case 0, 1, 2, 3:
					for range rapid.IntRange(1, 3).Draw(t, "events") {
						events++
						log.record(drawChange(t, events))
					}
				case 4:
					log.erase(drawTicketID(t))
				case 5:
					cutOff()
				case 6:
					backup = log.backup()
				case 7:
					if rapid.IntRange(0, 2).Draw(t, "restored") > 0 {
						continue
					}
					closeAll()
					log, restored = backup.backup(), true
					c.log = log
					open()
				case 8:
					time.Sleep(time.Duration(rapid.IntRange(1, 2000).Draw(t, "milliseconds")) * time.Millisecond)
				default:
					next()
				}
			}
			// Once in any case: the position may be one of another log.
			for next(); c.resumePoint.Snapshot || c.resumePoint.Position.Sequence < log.length(); {
				next()
			}
			if err := c.check(); err != nil {
				t.Fatal(err)
			}
		})
	})
}
