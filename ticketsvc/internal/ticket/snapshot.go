package ticket

import "slices"

// SnapshotPage is a part of a snapshot of all tickets.
type SnapshotPage struct {
	// Tickets are the matching tickets of the part, in byte order of their ids. An empty part may be followed by others.
	Tickets []Ticket
	// Last is the id up to which the part goes. The next part begins after it. Empty at the end of the snapshot.
	Last string
}

// NewSnapshotPage returns the part of a snapshot that ends with the page, or at the id bound if all tickets up to bound were read. It
// leaves out tickets that do not match: a database has not a column for everything that a filter looks at.
func NewSnapshotPage(filter Filter, page *PageBuilder, bound string) SnapshotPage {
	tickets := page.Tickets()
	if page.More() {
		bound = tickets[len(tickets)-1].ID
	}
	matcher := filter.Matcher()
	matching := slices.DeleteFunc(tickets, func(t Ticket) bool { return !matcher.Matches(&t, t.Words) })
	return SnapshotPage{Tickets: matching, Last: bound}
}
