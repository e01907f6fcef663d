package event

// The kinds of event that Ticketbridge takes in, as event.name says them. Source: the provider's webhook example.
const (
	// TicketCreated says that a ticket was opened; event.data is the ticket.
	TicketCreated = "ticket.created"
	// TicketUpdated says that a ticket changed; event.data.delta holds the changes.
	TicketUpdated = "ticket.updated"
)

// Envelope is what the door knows about a body. Its strings are valid UTF-8 without NUL, so that any database can hold them; its ids are
// good by the rule of package id, so that any log can show them.
type Envelope struct {
	// EventID is event.id. It tells one event from all others, for ever.
	EventID string
	// EventName is event.name: [TicketCreated], [TicketUpdated], or any other text beside [ErrUnexpectedEvent].
	EventName string
	// CreatedDate is the raw value of event.createdDate, a part of the body that was parsed, whether or not it is a date. Nil when there is
	// none.
	CreatedDate []byte
	// URN is event.urn as it was sent. Empty when there is none.
	URN string
	// AppID is the App that the URN names. Empty when the URN has another form, and when it can't serve as an id.
	AppID string
	// TicketID is the ticket that the event is about.
	//
	// It is the first of data.id, data.ticketId and data.ticket.id that is a string, an integer (then its exact digits), or an object with
	// such an id (see [idIn]), else the URN's last segment when that is not a category. Empty when there is none, or when it can't serve as
	// an id.
	TicketID string
	// TicketIDSource is where TicketID was found: "data.id", "data.ticketId", "data.ticket.id" or "urn". Empty without a TicketID.
	TicketIDSource string
	// Data is the raw value of event.data, a part of the body that was parsed. Nil when there is none.
	Data []byte
}

// Parse reads the envelope of a body.
//
// Every error is an [*Error]. A body that is not one well-formed JSON object without doubled keys gives the zero Envelope: it says
// nothing, or two things. An error about a single field ([ErrUnexpectedEvent], or one that names event.id or event.name) comes with
// everything else filled in, so that it can be recorded with the refused delivery.
//
// A missing ticket id or date is no error here. The delivery is kept, and translating it says what is wrong with it.
func Parse(body []byte) (Envelope, error) {
	found, err := scan(body)
	if err != nil {
		return Envelope{}, err
	}
	return found.envelope()
}

// envelope makes the Envelope of what was found in a well-formed body.
func (f *found) envelope() (Envelope, error) {
	env := Envelope{CreatedDate: f.createdDate, URN: textOrEmpty(f.urn), Data: f.data}
	urn := parseURN(env.URN)
	env.AppID = urn.app
	if env.TicketID, env.TicketIDSource = f.ticketID(urn); env.TicketID == "" {
		env.TicketIDSource = ""
	}

	var nameErr, idErr error
	env.EventName, nameErr = requireText(f.name, &nameErrors)
	env.EventID, idErr = requireID(f.id, &idErrors)

	switch {
	case f.event == nil:
		return env, errNoEvent
	case f.event[0] != '{':
		return env, errEventNotObject
	case nameErr != nil:
		return env, nameErr
	case env.EventName != TicketCreated && env.EventName != TicketUpdated:
		// Said before anything about the id: what an event of a kind that is not ours looks like is not ours to judge.
		return env, ErrUnexpectedEvent
	default:
		return env, idErr
	}
}

// ticketID returns the id of the ticket that the event is about, or "", and its place.
func (f *found) ticketID(urn urn) (id, place string) {
	for _, found := range [...]struct {
		value []byte
		place string
	}{{f.dataID, "data.id"}, {f.dataTicketID, "data.ticketId"}, {f.ticketObjectID, "data.ticket.id"}} {
		// The first that is there decides, even when it can't be used: another one may name another ticket.
		if value := idIn(found.value); isID(value) {
			return usableID(value), found.place
		}
	}
	if category := idIn(f.category); isID(category) && urn.last == usableID(category) {
		return "", ""
	}
	return urn.last, "urn"
}
