// Package inbox defines a delivery: its states, the transitions between them, and which of two deliveries of the same event is stored. It
// also has the [Inbox], which accepts deliveries, and the interface of the [Store] that keeps them.
//
// docs/deliveries.md has a picture of the states. The rules import no SQL, no HTTP and no generated code.
package inbox

import (
	"crypto/sha256"
	"time"
)

// State is the state of a delivery.
type State uint8

// The states. Databases store their numbers, so the numbers never change.
const (
	// Pending: accepted, and to be forwarded.
	Pending State = 1
	// Forwarded: ticketsvc recorded the event. This state is final, except if ticketsvc's log loses the event: then a [Replay] makes the
	// delivery pending.
	Forwarded State = 2
	// Rejected: signed, but not good, or set aside, for a reason. The delivery is stored and can be retried.
	Rejected State = 3
	// Dead: accepted, but can't be forwarded for a reason. The delivery is stored and can be retried.
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

// BodyHash identifies a body, even after the body itself is deleted.
type BodyHash [sha256.Size]byte

// Headers are the request headers of a delivery that are stored.
type Headers struct {
	// SignatureTimestamp is the time that was sent with the signature, as sent.
	SignatureTimestamp string
	// ContentType and UserAgent are as sent.
	ContentType, UserAgent string
	// TraceParent is the W3C trace context, as sent.
	TraceParent string
}

// Incoming is a signed delivery as it is received. Its strings are valid UTF-8.
type Incoming struct {
	// EventID is the event's id. Empty if the body has no readable id.
	EventID string
	// EventName is the event's kind. Empty if the body has no readable kind.
	EventName string
	// TicketID is the id of the event's ticket. Empty if the body has none.
	TicketID string
	// RejectReason is the reason why the webhook server rejects the delivery. Empty if the delivery is good. It holds no personal data.
	RejectReason string
	// ReceiveTime is the time when the delivery was received.
	ReceiveTime time.Time
	// Headers are the headers that are stored.
	Headers Headers
	// Body is the posted body, without access tokens.
	Body []byte
	// BodyHash is the hash of Body.
	BodyHash BodyHash
}

// Key identifies a delivery for deduplication: each stored delivery has its own key.
type Key string

// Key returns the key by which the delivery is looked up first: that of its event, or that of its body if it has no event id.
func (in *Incoming) Key() Key {
	if in.EventID == "" {
		return in.BodyKey()
	}
	return Key("e" + in.EventID)
}

// BodyKey returns the key under which the delivery is stored if another delivery has the key of its event.
func (in *Incoming) BodyKey() Key { return Key("b" + string(in.BodyHash[:])) }

// State returns the initial state of the delivery.
func (in *Incoming) State() State {
	if in.RejectReason != "" {
		return Rejected
	}
	return Pending
}

// DueTime returns the time when the delivery is to be forwarded, which is its time of receipt. It returns false for a rejected delivery,
// which is not forwarded.
func (in *Incoming) DueTime() (time.Time, bool) { return in.ReceiveTime, in.State() == Pending }

// Existing is what [Decide] needs to know about a delivery that the store has under an incoming delivery's key.
type Existing struct {
	// ID is the store's number of the delivery. It does not affect the decision.
	ID int64
	// State is the delivery's state.
	State State
	// BodyHash is the hash of its body.
	BodyHash BodyHash
}

// Action is what the inbox does with an incoming delivery.
type Action uint8

// The actions.
const (
	// Insert stores the incoming delivery under its [Incoming.Key].
	Insert Action = iota
	// Replace replaces the existing delivery under the incoming delivery's key. If the same body was set aside before, that delivery is
	// dropped.
	Replace
	// Ignore stores nothing, because the same body is stored already.
	Ignore
	// Conflict sets the incoming delivery aside: it is stored as rejected under its [Incoming.BodyKey], in addition to the delivery that has
	// the event's key.
	Conflict
)

// MaxBodyBytes is the maximum size of a body. A request to ticketsvc can be three times as large as its body, and ticketsvc accepts 11 MiB.
const MaxBodyBytes = 3 << 20

// ReasonOtherBody is the reason of a good delivery that is set aside because its event came before with another body.
const ReasonOtherBody = "another body came before with this event id"

// Decide returns the action for an incoming delivery. existing is the delivery under its key, and sameBody the delivery under its
// [Incoming.BodyKey]. Nil means that there is none. sameBody matters only if existing has another body.
//
// A good delivery replaces a rejected one. Otherwise the first body stays: the same body is a duplicate, and another body is a conflict.
func Decide(existing, sameBody *Existing, incoming *Incoming) Action {
	switch {
	case existing == nil:
		return Insert
	case existing.State == Rejected && incoming.RejectReason == "":
		return Replace
	case existing.BodyHash == incoming.BodyHash || sameBody != nil:
		return Ignore
	default:
		return Conflict
	}
}

// Delivery is a claimed delivery, with the data that forwarding needs.
type Delivery struct {
	// ID is the store's number of the delivery.
	ID int64
	// EventID and TicketID are for logs.
	EventID, TicketID string
	// Attempts is the number of tries that failed because of the event itself.
	Attempts int
	// Deferrals is the number of consecutive tries that failed for another reason than the event itself.
	Deferrals int
	// ReceiveTime is the time when the delivery was received.
	ReceiveTime time.Time
	// TraceParent is the W3C trace context that was sent with it.
	TraceParent string
	// Reason is the reason why it is still pending after a try.
	Reason string
	// Body is the posted body. Empty if it was deleted after its retention period.
	Body []byte
	// Lease is the lease of the claim.
	Lease Lease
}

// Lease is the right to write the outcome of a delivery. It ends when its time has run out and another worker claims the delivery, or when
// it is used.
type Lease struct {
	// DeliveryID is the id of the delivery.
	DeliveryID int64
	// Token distinguishes this claim from all others of the same delivery.
	Token int64
}

// Outcome is what became of a claimed delivery.
type Outcome struct {
	// Lease is the lease of the claim. An outcome whose lease has ended changes nothing.
	Lease Lease
	// State is the new state: [Pending] if the delivery is to be retried, [Forwarded] or [Dead].
	State State
	// Reason is why the delivery is dead or must be retried. It holds no personal data.
	Reason string
	// Attempts and Deferrals are the new counts.
	Attempts, Deferrals int
	// NextAttemptTime is the earliest time of the next try. Only for [Pending].
	NextAttemptTime time.Time
	// Position is a position of ticketsvc's log. The event is at or before it. Only for [Forwarded]. Zero if ticketsvc returned none.
	Position LogPosition
}
