package translate

import (
	"math/bits"
	"time"

	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ticketbridge/ticketbridge/gateway/internal/envelope"
	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
)

// Request is what an event asks ticketsvc to record. Exactly one field is set.
type Request struct {
	// Created is the request for a ticket.created event.
	Created *ticketv1.TicketCreatedRequest
	// Updated is the request for a ticket.updated event.
	Updated *ticketv1.TicketUpdatedRequest
}

// Error says why a body can't be translated, and never could without a change to the body or to this package.
type Error struct {
	// Reason names the provider's field and what was wanted of it, such as "data.delta.title: want a string". It never holds a value, nor
	// a name that is not in the provider's contract: bodies are private.
	Reason string
}

// Error returns the reason.
func (e *Error) Error() string { return e.Reason }

// Event translates the body of one event. receiveTime is when its delivery came.
//
// The result depends on nothing but the arguments. Every error is an [*Error].
func Event(body []byte, receiveTime time.Time) (Request, error) {
	env, err := envelope.Parse(body)
	if err != nil {
		return Request{}, &Error{Reason: err.Error()}
	}
	if env.TicketID == "" {
		return Request{}, &Error{Reason: "no ticket id"}
	}
	occurTime, err := parseDate(env.CreatedDate)
	if err != nil {
		return Request{}, &Error{Reason: "createdDate: " + err.Error()}
	}
	parts, err := readParts(env.Data)
	if err != nil {
		return Request{}, err
	}

	t := translation{ticket: &ticketv1.Ticket{TicketId: env.TicketID, AppId: env.AppID}}
	if env.AppID != "" {
		t.named.add(appID)
	}
	if err := t.translate(parts); err != nil {
		return Request{}, err
	}
	metadata := &ticketv1.EventMetadata{
		EventId:     env.EventID,
		OccurTime:   occurTime,
		ReceiveTime: timestamppb.New(receiveTime),
	}
	if env.EventName == envelope.TicketUpdated {
		return Request{Updated: &ticketv1.TicketUpdatedRequest{
			Event:        metadata,
			Ticket:       t.ticket,
			UpdateMask:   t.mask(),
			FullSnapshot: parts.holdWholeTicket(),
		}}, nil
	}
	if !t.named.has(createTime) {
		t.named.add(createTime)
		t.ticket.CreateTime = &timestamppb.Timestamp{Seconds: occurTime.Seconds, Nanos: occurTime.Nanos}
	}
	return Request{Created: &ticketv1.TicketCreatedRequest{Event: metadata, Ticket: t.ticket, FieldMask: t.mask()}}, nil
}

// translation is a ticket while it is put together.
type translation struct {
	ticket *ticketv1.Ticket
	named  pathSet
}

// mask returns the fields that the event named.
func (t *translation) mask() *fieldmaskpb.FieldMask {
	if len(t.ticket.Attributes) > 0 {
		t.named.add(attributes)
	}
	return &fieldmaskpb.FieldMask{Paths: t.named.paths()}
}

// path is a field of [ticketv1.Ticket] that an event can name. The order is that of the names, so that masks come out sorted.
type path uint8

const (
	appID path = iota
	assignedTo
	attributes
	categoryID
	channels
	commentCount
	createTime
	createdBy
	customSettings
	description
	files
	incrementID
	labels
	lastStatusUpdateTime
	phoneNumber
	propertyID
	statusText
	tags
	title
	unitName
	updateTime
)

// pathNames are the names of the paths in Ticket. `status` has none: ticketsvc derives it from `status_text`.
var pathNames = [...]string{
	appID:                "app_id",
	assignedTo:           "assigned_to",
	attributes:           "attributes",
	categoryID:           "category_id",
	channels:             "channels",
	commentCount:         "comment_count",
	createTime:           "create_time",
	createdBy:            "created_by",
	customSettings:       "custom_settings",
	description:          "description",
	files:                "files",
	incrementID:          "increment_id",
	labels:               "labels",
	lastStatusUpdateTime: "last_status_update_time",
	phoneNumber:          "phone_number",
	propertyID:           "property_id",
	statusText:           "status_text",
	tags:                 "tags",
	title:                "title",
	unitName:             "unit_name",
	updateTime:           "update_time",
}

// pathSet is a set of paths, one bit for each.
type pathSet uint32

func (s *pathSet) add(p path)     { *s |= 1 << p }
func (s pathSet) has(p path) bool { return s&(1<<p) != 0 }

// paths returns the names of the set's paths, sorted.
func (s pathSet) paths() []string {
	names := make([]string, 0, bits.OnesCount32(uint32(s)))
	for p, name := range pathNames {
		if s.has(path(p)) {
			names = append(names, name)
		}
	}
	return names
}
