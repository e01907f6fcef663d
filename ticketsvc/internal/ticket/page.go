package ticket

import (
	"cmp"
	"strings"
)

const (
	defaultPageSize = 50
	maxPageSize     = 1000
	// MaxPageBytes is the size of tickets at which a page ends before it has as many as it may. With it a page fits into the 4 MiB that
	// gRPC clients take by default, unless a single ticket doesn't.
	MaxPageBytes = 3 << 20
)

// PageSize returns how many items a page has at most, for the number that a request asks for: 50 for 0, and never above 1000.
// ok is false when requested is negative.
func PageSize(requested int32) (size int, ok bool) {
	if requested == 0 {
		return defaultPageSize, true
	}
	return min(int(requested), maxPageSize), requested > 0
}

// OrderTime is the time by which a list is ordered.
type OrderTime uint8

const (
	// ByUpdateTime orders by the time of the last change.
	ByUpdateTime OrderTime = iota
	// ByCreateTime orders by the time at which the ticket was opened. Tickets without one count as older than all others.
	ByCreateTime
)

// Order is the order of a list: by a time, then by the ticket's id, upwards.
type Order struct {
	Time OrderTime
	// Descending puts the newest first. The ids go upwards all the same.
	Descending bool
}

// ParseOrder reads an order as the contract writes it: "update_time" or "create_time", with " desc" behind it for newest first. An empty
// text means "update_time desc".
func ParseOrder(text string) (order Order, ok bool) {
	name, descending := strings.CutSuffix(text, " desc")
	switch name {
	case "":
		return Order{Time: ByUpdateTime, Descending: true}, text == ""
	case "update_time":
		return Order{Time: ByUpdateTime, Descending: descending}, true
	case "create_time":
		return Order{Time: ByCreateTime, Descending: descending}, true
	default:
		return Order{}, false
	}
}

// Cursor is a place in a list: right behind a ticket.
type Cursor struct {
	Time     Instant
	TicketID string
}

// Cursor returns the place behind t.
func (o Order) Cursor(t *Ticket) Cursor {
	if o.Time == ByCreateTime {
		return Cursor{Time: t.CreateTime, TicketID: t.ID}
	}
	return Cursor{Time: t.UpdateTime, TicketID: t.ID}
}

// Compare returns -1, 0 or 1 as the place c comes before, is or comes after d.
func (o Order) Compare(c, d Cursor) int {
	byTime := c.Time.Compare(d.Time)
	if o.Descending {
		byTime = -byTime
	}
	return cmp.Or(byTime, cmp.Compare(c.TicketID, d.TicketID))
}
