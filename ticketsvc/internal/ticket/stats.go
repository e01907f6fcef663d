package ticket

import "cmp"

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
