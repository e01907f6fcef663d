package fill

import (
	"fmt"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// What the tickets have in common with others: so many values there are, however many tickets, but for properties, which have so many
// tickets each.
const (
	apps              = 5
	categories        = 40
	users             = 500
	ticketsOfProperty = 200
)

const (
	// opened is when the first ticket was opened, in seconds since 1970, and every how many seconds another one was.
	opened, openedEvery = 1_750_000_000, 30
	// changedWithin is within how many seconds after that a ticket was changed last: four weeks.
	changedWithin = 4 * 7 * 24 * 60 * 60
)

// ID returns the id of the ticket of this number. Ids grow with the numbers, as the provider's do with time.
func ID(number int) string { return fmt.Sprintf("%08x5b7e4a5e00%06x", openedAt(number), number) }

func openedAt(number int) int64 { return opened + openedEvery*int64(number) }

// named are the fields that each ticket has.
var named = func() (set ticket.FieldSet) {
	for _, name := range []string{"app_id", "increment_id", "title", "description", "status_text", "category_id", "assigned_to", "created_by",
		"property_id", "unit_name", "channels", "create_time", "update_time", "last_status_update_time"} {
		field, ok := ticket.ParseField(name)
		if !ok {
			panic("the contract has no field " + name)
		}
		set = set.With(field)
	}
	return set
}()

// Change returns the creation of the ticket of this number. Four of five tickets are closed, and a quarter of the others is assigned to
// nobody. They are smaller than real ones, half a kilobyte, so that what a call costs for each ticket hides little of what it costs to find
// them.
func Change(number int) ticket.Change {
	// A stride without a factor in common with any of the numbers above spreads the values over the tickets, and all their combinations are
	// among the first few thousand.
	spread := number * 7919
	created := ticket.Instant{Seconds: openedAt(number), Set: true}
	// Knuth's multiplier: tickets that were opened one after the other are changed in any order.
	updated := ticket.Instant{Seconds: created.Seconds + int64(uint32(number)*2654435761)%changedWithin, Set: true}
	c := ticket.Change{
		EventID: fmt.Sprintf("fill-%012d", number), Name: ticket.Created, TicketID: ID(number), OccurTime: updated, Named: named,
		Values: ticket.Ticket{
			AppID:       fmt.Sprintf("82662ee4-0080-4960-8b8f-%012d", spread/7%apps),
			IncrementID: fmt.Sprint(number),
			Title:       "Heizung im Bad kalt",
			Description: "Seit gestern Abend bleibt der Heizkörper kalt. Bereits zweimal entlüftet, es hilft nichts. Bitte um Rückruf.",
			StatusText:  "closed",
			CategoryID:  fmt.Sprintf("5d1f2c3b4a596877%08d", spread/3%categories),
			AssignedTo:  fmt.Sprintf("user-%d", spread%users),
			CreatedBy:   fmt.Sprintf("tenant-%d", number/3),
			PropertyID:  fmt.Sprintf("property-%d", number/ticketsOfProperty),
			UnitName:    fmt.Sprintf("%d.%02d", number%7, number%31),
			Channels:    []string{fmt.Sprintf("Property-%d", number/ticketsOfProperty)},
			CreateTime:  created, UpdateTime: updated, LastStatusUpdateTime: updated,
		},
	}
	if number%5 == 0 {
		c.Values.StatusText = [...]string{"waiting-for-agent", "waiting-for-customer", "waiting-for-external"}[spread%3]
		if number%4 == 0 {
			c.Values.AssignedTo = ""
		}
	}
	return c
}
