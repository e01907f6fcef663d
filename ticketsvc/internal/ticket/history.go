package ticket

// Outcome is the effect that an event has on its ticket. Its numbers are those of the contract's enum TicketEventOutcome.
type Outcome int32

const (
	// OutcomeCurrent is that all registers still have the value of the event.
	OutcomeCurrent Outcome = 1
	// OutcomePartlySuperseded is that some registers have a newer value.
	OutcomePartlySuperseded Outcome = 2
	// OutcomeSuperseded is that all registers have a newer value.
	OutcomeSuperseded Outcome = 3
	// OutcomeNoFields is that the event named no register.
	OutcomeNoFields Outcome = 4
	// OutcomeErased is that the ticket and the content of the event were erased.
	OutcomeErased Outcome = 5
)

// Event is a recorded event, without its values.
type Event struct {
	// Sequence is the number of the event in the log: from 1 on, in commit order, without gaps.
	Sequence      int64
	EventID       string
	Name          EventName
	TicketID      string
	OccurTime     Instant
	ReceiveTime   Instant
	ChangedFields ChangedFields
	// Outcome is its effect on the ticket as the ticket was when the event was read.
	Outcome Outcome
}

// OutcomeOf returns the outcome of an event of the ticket. s is nil if the ticket was erased.
func (s *State) OutcomeOf(e *Event) Outcome {
	if s == nil {
		return OutcomeErased
	}
	return s.Outcome(e.EventID, e.ChangedFields)
}

// Outcome returns the outcome of the event with this id and these fields, which is one of the ticket.
func (s *State) Outcome(eventID string, changed ChangedFields) Outcome {
	named, current := 0, 0
	count := func(register Version) {
		named++
		if register.EventID == eventID {
			current++
		}
	}
	for f := range changed.Fields.All() {
		count(s.Versions.Fields[f])
	}
	for _, key := range changed.AttributeKeys {
		count(s.attributeVersion(key))
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
