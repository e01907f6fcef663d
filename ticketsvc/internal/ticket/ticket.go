// Package ticket holds the rules of the ticket service: how events in any order make a ticket, which tickets a filter matches, how a list
// is ordered, and which effect an event still has on its ticket.
//
// A ticket is a map of last-writer-wins registers, one for each top-level field and one for each attribute. The value that an event gives a
// register is kept until an event with a later [Version] gives another value. The rules do not depend on any technology: a database stores
// their results behind the interface [Store]. [MergeBatch] and [PageBuilder] are the parts that all stores share. [Ingester] batches the
// writes to a store.
package ticket

import "github.com/ticketbridge/ticketbridge/internal/id"

const (
	// MaxIDBytes is the maximum number of bytes in the id of a ticket or an event, and in any id of a filter.
	MaxIDBytes = id.MaxBytes
	// maxBatchIDs is the maximum number of tickets that one call can ask for by their ids.
	maxBatchIDs = 1000
)

// CustomSetting is one setting that a ticket's category adds.
type CustomSetting struct {
	Key  string
	Type string
	// Kind is the form of Value.
	Kind ValueKind
	// Value is the setting's string for [TextValue], its JSON for [JSONValue], and empty for [NoValue].
	Value string
	// Attributes holds the JSON of every other field of the setting, by name.
	Attributes map[string]string
}

// ValueKind is the form of a setting's value.
type ValueKind uint8

const (
	// NoValue is the kind if the provider sent no value, or null.
	NoValue ValueKind = iota
	// TextValue is a string.
	TextValue
	// JSONValue is anything else, as JSON.
	JSONValue
)

// Status is whom a ticket waits for. Its numbers are those of the contract's enum TicketStatus.
type Status int32

const (
	// StatusUnspecified is the status if there is no status yet, or if this version does not know the status.
	StatusUnspecified Status = 0
	// StatusWaitingForAgent is the status of a ticket that waits for the property's management.
	StatusWaitingForAgent Status = 1
	// StatusWaitingForCustomer is the status of a ticket that waits for the tenant.
	StatusWaitingForCustomer Status = 2
	// StatusWaitingForExternal is the status of a ticket that waits for a third party.
	StatusWaitingForExternal Status = 3
	// StatusClosed is the status of a ticket that is done.
	StatusClosed Status = 4
)

// ParseStatus returns the status for the provider's word, or [StatusUnspecified] if the word is not known.
func ParseStatus(providerWord string) Status {
	switch providerWord {
	case "waiting-for-agent":
		return StatusWaitingForAgent
	case "waiting-for-customer":
		return StatusWaitingForCustomer
	case "waiting-for-external":
		return StatusWaitingForExternal
	case "closed":
		return StatusClosed
	default:
		return StatusUnspecified
	}
}
