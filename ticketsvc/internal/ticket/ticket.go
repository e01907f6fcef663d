// Package ticket holds the rules of the ticket service: how events make a ticket whatever order they come in, which tickets a filter
// matches, what a list's order is, and what an event still means for its ticket.
//
// A ticket is a map of last-writer-wins registers, one for each top-level field and one for each attribute. What an event says of a
// register stands until an event with a later [Version] says something else of it. The rules know of no machinery: a database keeps what
// they make behind the interface [Store]. [MergeBatch] and [PageBuilder] are what all stores do alike, [Ingester] is the front of a store.
package ticket

import "github.com/ticketbridge/ticketbridge/internal/id"

const (
	// MaxIDBytes is the most bytes that the id of a ticket or an event may have, and any id in a filter.
	MaxIDBytes = id.MaxBytes
	// maxBatchIDs is the most tickets that one call can ask for by their ids.
	maxBatchIDs = 1000
)

// CustomSetting is one setting that a ticket's category adds.
type CustomSetting struct {
	Key  string
	Type string
	// Kind says which of the values below is meant.
	Kind ValueKind
	// Value is the setting's text for [TextValue], its JSON text for [JSONValue], and empty for [NoValue].
	Value string
	// Attributes holds the JSON text of every other field of the setting, by name.
	Attributes map[string]string
}

// ValueKind says what form a setting's value has.
type ValueKind uint8

const (
	// NoValue: the provider sent none, or null.
	NoValue ValueKind = iota
	// TextValue is a text.
	TextValue
	// JSONValue is anything else, as JSON.
	JSONValue
)

// Status says whom a ticket waits for. Its numbers are those of the contract's enum TicketStatus.
type Status int32

const (
	// StatusUnspecified: no status yet, or one that is not known here.
	StatusUnspecified Status = 0
	// StatusWaitingForAgent: the ticket waits for the property's management.
	StatusWaitingForAgent Status = 1
	// StatusWaitingForCustomer: the ticket waits for the tenant.
	StatusWaitingForCustomer Status = 2
	// StatusWaitingForExternal: the ticket waits for a third party.
	StatusWaitingForExternal Status = 3
	// StatusClosed: the ticket is done.
	StatusClosed Status = 4
)

// ParseStatus returns the status that the provider's word stands for: [StatusUnspecified] where the word is not known.
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
