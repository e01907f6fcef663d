package ticket

import (
	"cmp"
	"maps"
	"slices"
)

// Stats says how many tickets match a filter, and which of them has waited longest. The zero value is that of no tickets.
type Stats struct {
	// Total is how many tickets match.
	Total int64
	// ByStatus is how many of them are in each status. Statuses without any are not in it.
	ByStatus map[Status]int64
	// Unassigned is how many of them are not closed, and assigned to nobody.
	Unassigned int64
	// LongestWaiting is the one that has waited longest. Nil when none waits.
	LongestWaiting *Waiting
}

// Waiting is a ticket that waits.
type Waiting struct {
	TicketID string
	// Since is when it began to wait: see [Ticket.WaitingSince].
	Since Instant
}

// WaitingSince returns since when a ticket that is not closed has been in its status, as far as is known: the time of its last change of
// status, or else of its creation, or else of its last change. A closed ticket does not wait, and has none.
func (t *Ticket) WaitingSince() Instant {
	switch {
	case t.Status == StatusClosed:
		return Instant{}
	case t.LastStatusUpdateTime.Set:
		return t.LastStatusUpdateTime
	case t.CreateTime.Set:
		return t.CreateTime
	default:
		return t.UpdateTime
	}
}

// Compare returns -1, 0 or 1 as w has waited longer than, as long as or shorter than v. Of those that began at the same moment the one with
// the lower id counts as longer.
func (w Waiting) Compare(v Waiting) int {
	return cmp.Or(w.Since.Compare(v.Since), cmp.Compare(w.TicketID, v.TicketID))
}

// ParseWaiting returns the ticket that text stands for: the sortable text of the moment since when it waits, with its id right behind. Such
// texts sort as [Waiting.Compare] does. The empty text stands for none. The error is that of [DecodeError] for the ticket.
func ParseWaiting(text string) (*Waiting, error) {
	if text == "" {
		return nil, nil
	}
	end := min(len(text), len(sortableLayout))
	w := &Waiting{TicketID: text[end:]}
	var err error
	if w.Since, err = ParseSortableText(text[:end]); err != nil {
		return nil, DecodeError(w.TicketID, err)
	}
	return w, nil
}

// Add counts tickets that match, all of one status, and all assigned or all not. oldest is the one of them that has waited longest, nil
// where they don't wait.
func (s *Stats) Add(status Status, unassigned bool, count int64, oldest *Waiting) {
	if count == 0 {
		return
	}
	s.Total += count
	if s.ByStatus == nil {
		s.ByStatus = map[Status]int64{}
	}
	s.ByStatus[status] += count
	if unassigned && status != StatusClosed {
		s.Unassigned += count
	}
	if oldest != nil && (s.LongestWaiting == nil || oldest.Compare(*s.LongestWaiting) < 0) {
		s.LongestWaiting = oldest
	}
}

// Group is what tickets have in common that are counted together. Stores keep the number of tickets of each group, so that stats under a
// filter that looks at nothing else need not look at tickets: see [Filter.SelectsGroups].
type Group struct {
	AppID      string
	CategoryID string
	Status     Status
	Unassigned bool
}

// Group returns the group that t is counted in.
func (t *Ticket) Group() Group {
	return Group{AppID: t.AppID, CategoryID: t.CategoryID, Status: t.Status, Unassigned: t.AssigneeID == ""}
}

func (g Group) compare(h Group) int {
	unassigned := func(g Group) int {
		if g.Unassigned {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(g.AppID, h.AppID), cmp.Compare(g.CategoryID, h.CategoryID), cmp.Compare(g.Status, h.Status),
		cmp.Compare(unassigned(g), unassigned(h)))
}

// GroupChange says by how much the number of a group's tickets changed.
type GroupChange struct {
	Group Group
	// Change is not 0, and negative where there are fewer.
	Change int64
}

// GroupChanges returns by how much the numbers of tickets changed with the batch, in the order of the groups, each once. It is to be called
// after [MergeBatch.Merge].
func (r *MergeBatch) GroupChanges() []GroupChange {
	sums := map[Group]int64{}
	for i := range r.tickets {
		t := &r.tickets[i]
		if !t.written() {
			continue
		}
		after := t.state.Ticket.Group()
		if t.kept && t.before == after {
			continue
		}
		if t.kept {
			sums[t.before]--
		}
		sums[after]++
	}
	maps.DeleteFunc(sums, func(_ Group, change int64) bool { return change == 0 })
	changes := make([]GroupChange, 0, len(sums))
	for group, change := range sums {
		changes = append(changes, GroupChange{Group: group, Change: change})
	}
	slices.SortFunc(changes, func(a, b GroupChange) int { return a.Group.compare(b.Group) })
	return changes
}
