package ticket

import (
	"cmp"
	"strings"
)

// OrderTime is the time by which a list is ordered.
type OrderTime uint8

const (
	// ByUpdateTime orders by the time of the last change.
	ByUpdateTime OrderTime = iota
	// ByCreateTime orders by the time at which the ticket was opened. A ticket without that time counts as older than all others.
	ByCreateTime
)

// Order is the order of a list: first by a time, then by ticket id, ascending.
type Order struct {
	Time OrderTime
	// Descending sorts the newest first. The order of the ids stays ascending.
	Descending bool
}

// ParseOrder parses an order in the contract's syntax: "update_time" or "create_time", followed by " desc" for newest first. An empty
// string means "update_time desc".
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

// Column is the column of both databases that has the time.
func (o Order) Column() string {
	if o.Time == ByCreateTime {
		return "create_time"
	}
	return "update_time"
}

// Cursor is a position in a list: directly after a ticket.
type Cursor struct {
	Time     Instant
	TicketID string
}

// Cursor returns the position directly after t.
func (o Order) Cursor(t *Ticket) Cursor {
	if o.Time == ByCreateTime {
		return Cursor{Time: t.CreateTime, TicketID: t.ID}
	}
	return Cursor{Time: t.UpdateTime, TicketID: t.ID}
}

// Compare returns -1 if c is before d, 0 if they are equal, and 1 if c is after d.
func (o Order) Compare(c, d Cursor) int {
	byTime := c.Time.Compare(d.Time)
	if o.Descending {
		byTime = -byTime
	}
	return cmp.Or(byTime, cmp.Compare(c.TicketID, d.TicketID))
}
