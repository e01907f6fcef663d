package ticket

import (
	"cmp"
	"maps"
	"slices"
)

// Stats is the number of tickets that match a filter, and the ticket that has waited longest. The zero value is that of no tickets.
type Stats struct {
	// Total is the number of matching tickets.
	Total int64
	// ByStatus is the number of matching tickets in each status. It has no statuses without tickets.
	ByStatus map[Status]int64
	// Unassigned is the number of matching tickets that are not closed and are assigned to nobody.
	Unassigned int64
	// LongestWaiting is the matching ticket that has waited longest. Nil if none waits.
	LongestWaiting *Waiting
}

// Waiting is a ticket that waits.
type Waiting struct {
	TicketID string
	// Since is the time at which the ticket began to wait: see [Ticket.WaitingSince].
	Since Instant
}

// WaitingSince returns the time since which a ticket that is not closed has been in its status, as far as is known. That is the time of its
// last change of status, or if unknown the time of its creation, or if that is unknown too the time of its last change. The result is none
// for a closed ticket, which does not wait.
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

// Compare returns -1 if w has waited longer than v, 0 if they are the same, and 1 if v has waited longer. If both began to wait at the same
// moment, the one with the lower id counts as waiting longer.
func (w Waiting) Compare(v Waiting) int {
	return cmp.Or(w.Since.Compare(v.Since), cmp.Compare(w.TicketID, v.TicketID))
}

// ParseWaiting parses a string that has the sortable text of the time since which a ticket waits, followed by the ticket's id. Such strings
// sort as [Waiting.Compare] does. The result is nil for an empty string. The error is that of [DecodeError] for the ticket.
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

// Add counts matching tickets that all have the same status, and that are all assigned or all unassigned. oldest is the ticket of them that
// has waited longest. It is nil if they do not wait.
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

// Group is what tickets that are counted together have in common. Stores keep the number of tickets of each group. So stats with a filter
// that reads only the group need no tickets: see [Filter.SelectsGroups].
type Group struct {
	AppID      string
	CategoryID string
	Status     Status
	Unassigned bool
}

// Group returns the group in which t is counted.
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

// GroupChange is a change of the number of a group's tickets.
type GroupChange struct {
	Group Group
	// Change is not 0. It is negative if the group has fewer tickets than before.
	Change int64
}

// GroupChanges returns the changes of the numbers of tickets that the batch makes, in the order of the groups, each group once. It must be
// called after [MergeBatch.Merge].
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
