// Package inbox says what a delivery is to the gateway: which states it can be in, what brings it from one to another, and which of two
// deliveries of the same event stands. It also holds the front through which deliveries come in, and the interface behind which a
// database keeps them.
//
// A picture of the states is in docs/deliveries.md. The rules import no SQL, no HTTP and no generated code.
package inbox

import (
	"crypto/sha256"
	"time"
)

// State says how far a delivery has come.
type State uint8

// The states. Their numbers are what databases hold: they never change.
const (
	// Pending: accepted, and to be forwarded.
	Pending State = 1
	// Forwarded: ticketsvc recorded the event. It stays so, unless ticketsvc's log loses the event: then a [Replay] makes it pending.
	Forwarded State = 2
	// Rejected: signed, but refused or set aside for a reason. Kept, and replayable.
	Rejected State = 3
	// Dead: accepted, but can't be forwarded for a reason. Kept, and replayable.
	Dead State = 4
)

// String returns the state's name.
func (s State) String() string {
	switch s {
	case Pending:
		return "pending"
	case Forwarded:
		return "forwarded"
	case Rejected:
		return "rejected"
	case Dead:
		return "dead"
	default:
		return "unknown"
	}
}

// BodyHash tells bodies apart, also after a body itself is gone.
type BodyHash [sha256.Size]byte

// Headers are the request headers of a delivery that are worth keeping.
type Headers struct {
	// SignatureTimestamp is the time that the sender put beside the signature, as sent.
	SignatureTimestamp string
	// ContentType and UserAgent are as sent.
	ContentType, UserAgent string
	// TraceParent is the W3C trace context, as sent.
	TraceParent string
}

// Arrival is a signed delivery as it comes in at the door. Its texts are valid UTF-8.
type Arrival struct {
	// EventID is the event's id; empty where the body has none that can be read.
	EventID string
	// EventName is the event's kind; empty where the body has none that can be read.
	EventName string
	// TicketID is the ticket that the event is about; empty where the body names none.
	TicketID string
	// RejectReason says why the door refuses the delivery; empty when it is good. It holds nothing personal.
	RejectReason string
	// ReceiveTime is when it came in.
	ReceiveTime time.Time
	// Headers are the headers worth keeping.
	Headers Headers
	// Body is what was posted, without access tokens.
	Body []byte
	// BodyHash is Body's.
	BodyHash BodyHash
}

// Key identifies a delivery for de-duplication: no two kept deliveries have the same.
type Key string

// Key returns what the arrival is first looked up by: its event, or its body where it has no event id.
func (a *Arrival) Key() Key {
	if a.EventID == "" {
		return a.BodyKey()
	}
	return Key("e" + a.EventID)
}

// BodyKey returns what the arrival is kept by when another delivery of its event has its place.
func (a *Arrival) BodyKey() Key { return Key("b" + string(a.BodyHash[:])) }

// State returns the state in which the arrival begins.
func (a *Arrival) State() State {
	if a.RejectReason != "" {
		return Rejected
	}
	return Pending
}

// DueTime returns when the arrival is to be forwarded: at once when it is good. It returns false when it is not, and so never.
func (a *Arrival) DueTime() (time.Time, bool) { return a.ReceiveTime, a.State() == Pending }

// Kept is what a decision needs to know of a delivery that is kept under an arrival's key.
type Kept struct {
	// ID is the store's number for it. It has no part in a decision.
	ID int64
	// State is the delivery's.
	State State
	// BodyHash is the hash of its body.
	BodyHash BodyHash
}

// Action is what happens with an arrival.
type Action uint8

// The actions.
const (
	// Insert keeps it under its [Arrival.Key].
	Insert Action = iota
	// Replace gives it the place of the delivery kept under its key. The same body, where it was set aside before, is dropped.
	Replace
	// Ignore keeps nothing: the same is kept already.
	Ignore
	// SetAside keeps it as rejected under its [Arrival.BodyKey], beside the delivery that has its event's place; nothing when that
	// body is kept already.
	SetAside
)

// ReasonOtherBody is why a good delivery is set aside whose event came before with another body.
const ReasonOtherBody = "another body came before with this event id"

// Decide says what happens with arrival, given the delivery kept under its key, or nil when there is none.
//
// A good delivery takes the place of a rejected one. Otherwise the first body stands: the same body again is a duplicate, and another
// one is set aside.
func Decide(kept *Kept, arrival *Arrival) Action {
	switch {
	case kept == nil:
		return Insert
	case kept.State == Rejected && arrival.RejectReason == "":
		return Replace
	case kept.BodyHash == arrival.BodyHash:
		return Ignore
	default:
		return SetAside
	}
}

// Delivery is a claimed delivery, with what forwarding it needs.
type Delivery struct {
	// ID is the store's number for it.
	ID int64
	// EventID and TicketID are for logs.
	EventID, TicketID string
	// Attempts is how many tries failed by the event's own fault.
	Attempts int
	// Deferrals is how many tries in a row failed by no fault of the event's.
	Deferrals int
	// ReceiveTime is when it came in.
	ReceiveTime time.Time
	// TraceParent is the W3C trace context that it came with.
	TraceParent string
	// Reason is why it is still pending after a try.
	Reason string
	// Body is what was posted. Empty when it is gone, its retention being over.
	Body []byte
	// Lease is what the claim is good for.
	Lease Lease
}

// Lease is the right to settle a delivery. It ends when its time runs out and another claims the delivery, or when it is used.
type Lease struct {
	// DeliveryID is the delivery's.
	DeliveryID int64
	// Token tells this claim from all others of the same delivery.
	Token int64
}

// Settlement is what became of a claimed delivery.
type Settlement struct {
	// Lease is the claim's. A settlement whose lease is no longer good changes nothing.
	Lease Lease
	// State is the state to go to: [Pending] to be tried again, [Forwarded] or [Dead].
	State State
	// Reason says why it is dead, or must be tried again. It holds nothing personal.
	Reason string
	// Attempts and Deferrals are the new counts.
	Attempts, Deferrals int
	// NextAttemptTime is when to try again at the earliest. Only for [Pending].
	NextAttemptTime time.Time
	// Position is a position of ticketsvc's log at or before which the event is. Only for [Forwarded]; zero where ticketsvc named none.
	Position LogPosition
}
