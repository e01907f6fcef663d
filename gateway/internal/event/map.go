package event

import (
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
)

// attributesPath names the attributes in a mask.
const attributesPath = "attributes"

// Result is the request for an event. Exactly one of Created and Updated is set.
type Result struct {
	// Created is the request for a ticket.created event.
	Created *ticketv1.TicketCreatedRequest
	// Updated is the request for a ticket.updated event.
	Updated *ticketv1.TicketUpdatedRequest
	// Elements is the number of elements of the request, as the contract counts them.
	Elements int
	// Findings are the values in another form than the documented one, in the order in which they were read.
	Findings []Finding
}

// Map maps the body of one event. receiveTime is the time at which its delivery came. An event that is dated more than futureTolerance
// after receiveTime is an error, because its values would replace all later ones until its date is past. If futureTolerance is 0, any date
// passes.
//
// The result depends on the arguments alone, and on the zone database if a date names a zone. Every error is an [*Error].
func Map(body []byte, receiveTime time.Time, futureTolerance time.Duration) (Result, error) {
	env, err := Parse(body)
	if err != nil {
		return Result{}, err
	}
	if env.TicketID == "" {
		return Result{}, errNoTicketID
	}
	isUpdate := env.EventName == TicketUpdated
	t := mapping{ticket: &ticketv1.Ticket{TicketId: env.TicketID, AppId: env.AppID}}
	parts := newParts()
	if err := t.readParts(parts, env.Data, isUpdate); err != nil {
		return Result{}, err
	}
	occurTime, err := t.occurTime(env.CreatedDate, parts)
	if err != nil {
		return Result{}, err
	}
	if futureTolerance > 0 && occurTime.AsTime().Sub(receiveTime) > futureTolerance {
		return Result{}, errFromFuture(futureTolerance)
	}
	if env.AppID != "" {
		t.named.add(appID)
	}
	t.take(parts)
	if !isUpdate && !t.named.has(createTime) {
		t.named.add(createTime)
		t.ticket.CreateTime = &timestamppb.Timestamp{Seconds: occurTime.Seconds, Nanos: occurTime.Nanos}
	}
	t.limitElements()

	metadata := &ticketv1.EventMetadata{
		EventId:     env.EventID,
		OccurTime:   occurTime,
		ReceiveTime: timestamppb.New(receiveTime),
	}
	result := Result{Elements: t.elements(), Findings: t.findings}
	if isUpdate {
		result.Updated = &ticketv1.TicketUpdatedRequest{
			Event:             metadata,
			Ticket:            t.ticket,
			FieldMask:         t.mask(),
			FullSnapshot:      parts.holdWholeTicket(),
			ElementChangeMask: t.elementChangeMask(),
		}
	} else {
		result.Created = &ticketv1.TicketCreatedRequest{
			Event:             metadata,
			Ticket:            t.ticket,
			FieldMask:         t.mask(),
			ElementChangeMask: t.elementChangeMask(),
		}
	}
	return result, nil
}

// mapping is the state of [Map].
type mapping struct {
	ticket *ticketv1.Ticket
	// named are the fields that the event named. elementChanges are the named lists whose new value the event does not have.
	named, elementChanges fieldSet
	// lists are the lists that the ticket's fields hold. limitElements may move them to attributes.
	lists    []heldList
	findings []Finding
}

// occurTime returns the time of the event: its createdDate, or else the first updatedAt that is a date.
func (t *mapping) occurTime(createdDate []byte, p *parts) (*timestamppb.Timestamp, error) {
	form := missing
	if createdDate != nil {
		date, r := readDate(createdDate)
		form = r.form
		if date != nil {
			if form != "" {
				t.note("event", "createdDate", reading{form: form})
			}
			return date, nil
		}
	}
	updatedAt := fields["updatedAt"]
	for _, part := range [...]*part{&p.delta, &p.data, &p.ticket} {
		i := part.index(updatedAt.Name)
		if i < 0 {
			continue
		}
		if date, _ := readDate(part.changeAt(i, updatedAt.Kind).value); date != nil {
			t.note("event", "createdDate", reading{form: form})
			return date, nil
		}
	}
	return nil, errNoEventTime(form)
}

// mask returns the request's mask of the fields that the event named.
func (t *mapping) mask() *fieldmaskpb.FieldMask {
	paths := t.named.paths()
	if len(t.ticket.Attributes) > 0 {
		i, _ := slices.BinarySearch(paths, attributesPath)
		paths = slices.Insert(paths, i, attributesPath)
	}
	return &fieldmaskpb.FieldMask{Paths: paths}
}

// elementChangeMask returns the request's mask of the lists whose new value the event does not have, or nil if there are none.
func (t *mapping) elementChangeMask() *fieldmaskpb.FieldMask {
	if t.elementChanges == 0 {
		return nil
	}
	return &fieldmaskpb.FieldMask{Paths: t.elementChanges.paths()}
}
