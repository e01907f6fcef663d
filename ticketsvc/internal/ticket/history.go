package ticket

// Outcome says what an event still means for its ticket. Its numbers are those of the contract's enum TicketEventOutcome.
type Outcome int32

const (
	// OutcomeCurrent: everything that the event named still has the value that it gave.
	OutcomeCurrent Outcome = 1
	// OutcomePartlySuperseded: some of it has a newer value.
	OutcomePartlySuperseded Outcome = 2
	// OutcomeSuperseded: all of it has a newer value.
	OutcomeSuperseded Outcome = 3
	// OutcomeNoFields: the event named nothing.
	OutcomeNoFields Outcome = 4
	// OutcomeErased: the ticket was erased, and with it what the event said.
	OutcomeErased Outcome = 5
)

// Event is a recorded event, without the values that it gave.
type Event struct {
	// Sequence is the event's place in the log of all events: from 1 on, in commit order, without gaps.
	Sequence    int64
	EventID     string
	Name        EventName
	TicketID    string
	OccurTime   Instant
	ReceiveTime Instant
	// Content is what the event named.
	Content Content
	// Outcome is what that still means, given the ticket as it was when the event was read.
	Outcome Outcome
}

// OutcomeOf returns what an event of the record's ticket still means. r is nil for a ticket that was erased.
func (r *Record) OutcomeOf(e *Event) Outcome {
	if r == nil {
		return OutcomeErased
	}
	return r.Outcome(e.EventID, e.Content)
}

// Outcome returns what the event with this id, which named content, still means for the ticket. The event is one of the record's.
func (r *Record) Outcome(eventID string, content Content) Outcome {
	named, current := 0, 0
	count := func(register Version) {
		named++
		if register.EventID == eventID {
			current++
		}
	}
	for f := range content.Named.All() {
		count(r.Versions.Fields[f])
	}
	for _, key := range content.AttributeKeys {
		count(r.attributeVersion(key))
	}
	switch {
	case named == 0:
		return OutcomeNoFields
	case current == named:
		return OutcomeCurrent
	case current == 0:
		return OutcomeSuperseded
	default:
		return OutcomePartlySuperseded
	}
}
