package ticketpb

import (
	"fmt"

	"google.golang.org/protobuf/types/known/fieldmaskpb"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/internal/elements"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketcodec"
)

// ToCreated returns the change of a request. The error is a [*ticket.InvalidError]. The change shares the request's lists and maps.
func ToCreated(request *ticketv1.TicketCreatedRequest) (ticket.Change, error) {
	return toChange(ticket.Created, request)
}

// ToUpdated is like [ToCreated].
func ToUpdated(request *ticketv1.TicketUpdatedRequest) (ticket.Change, error) {
	change, err := toChange(ticket.Updated, request)
	change.FullSnapshot = request.GetFullSnapshot()
	return change, err
}

// ToChange is like [ToCreated], for an event of a RecordTicketEventsRequest.
func ToChange(request *ticketv1.TicketEventRequest) (ticket.Change, error) {
	switch r := request.GetRequest().(type) {
	case *ticketv1.TicketEventRequest_Created:
		return ToCreated(r.Created)
	case *ticketv1.TicketEventRequest_Updated:
		return ToUpdated(r.Updated)
	default:
		var violations ticket.Violations
		violations.Add("request", "must be created or updated")
		return ticket.Change{}, violations.Err()
	}
}

// eventRequest is the part that the requests for both kinds of events have in common.
type eventRequest interface {
	GetEvent() *ticketv1.EventMetadata
	GetTicket() *ticketv1.Ticket
	GetFieldMask() *fieldmaskpb.FieldMask
	GetElementChangeMask() *fieldmaskpb.FieldMask
}

func toChange(name ticket.EventName, request eventRequest) (ticket.Change, error) {
	event, message := request.GetEvent(), request.GetTicket()
	var violations ticket.Violations
	violations.CheckID("event.event_id", event.GetEventId())
	violations.CheckID("ticket.ticket_id", message.GetTicketId())
	change := ticket.Change{
		EventID:     event.GetEventId(),
		Name:        name,
		TicketID:    message.GetTicketId(),
		OccurTime:   ticketcodec.ToInstant(event.GetOccurTime()),
		ReceiveTime: ticketcodec.ToInstant(event.GetReceiveTime()),
	}
	if !change.OccurTime.Set {
		violations.Add("event.occur_time", "must be set")
	}
	checkInstant("event.occur_time", change.OccurTime, &violations)
	checkInstant("event.receive_time", change.ReceiveTime, &violations)
	attributesNamed := false
	for _, path := range request.GetFieldMask().GetPaths() {
		field, ok := ticket.ParseField(path)
		switch {
		case ok:
			change.Fields = change.Fields.With(field)
		case path == ticket.AttributesName:
			attributesNamed = true
		default:
			violations.Add("field_mask", "must name nothing but fields of Ticket that events can set")
		}
	}
	for _, path := range request.GetElementChangeMask().GetPaths() {
		field, ok := ticket.ParseField(path)
		if !ok || !field.IsList() || !change.Fields.Has(field) {
			violations.Add("element_change_mask", "must name nothing but repeated fields that field_mask names too")
			continue
		}
		change.ElementChanges = change.ElementChanges.With(field)
	}
	values := ticketcodec.ToTicket(message)
	change.Values = values.Only(change.Fields &^ change.ElementChanges)
	if attributesNamed && len(message.GetAttributes()) > 0 {
		change.Values.Attributes = message.GetAttributes()
	}
	change.CheckIDs(&violations)
	for field := range change.Fields.All() {
		if instant, ok := field.Ref(&change.Values).(*ticket.Instant); ok {
			checkInstant("ticket."+field.String(), *instant, &violations)
		}
	}
	return change, violations.Err()
}

func checkInstant(field string, instant ticket.Instant, violations *ticket.Violations) {
	if !instant.Valid() {
		violations.Add(field, "must be a time in the years 1 to 9999")
	}
}

// ListQuery is the content of a ListTicketsRequest, except its page token.
type ListQuery struct {
	// Filter is in its normal form.
	Filter ticket.Filter
	Order  ticket.Order
	// PageSize is between 1 and 1000.
	PageSize int
}

// ToListQuery returns the query of a request. The error is a [*ticket.InvalidError].
func ToListQuery(request *ticketv1.ListTicketsRequest) (ListQuery, error) {
	var violations ticket.Violations
	order, ok := ticket.ParseOrder(request.GetOrderBy())
	if !ok {
		violations.Add("order_by", "must be update_time or create_time, with or without desc after it")
	}
	pageSize := toPageSize(request.GetPageSize(), &violations)
	filter := toFilter(request.GetFilter(), &violations)
	return ListQuery{Filter: filter, Order: order, PageSize: pageSize}, violations.Err()
}

// ToFilter returns the filter of a message, in its normal form. The error is a [*ticket.InvalidError] for a request that has the message in
// its field filter.
func ToFilter(message *ticketv1.TicketFilter) (ticket.Filter, error) {
	var violations ticket.Violations
	filter := toFilter(message, &violations)
	return filter, violations.Err()
}

func toFilter(message *ticketv1.TicketFilter, violations *ticket.Violations) ticket.Filter {
	filter := ticket.Filter{
		AppIDs:        message.GetAppIds(),
		CategoryIDs:   message.GetCategoryIds(),
		PropertyIDs:   message.GetPropertyIds(),
		AssigneeID:    message.GetAssigneeId(),
		Unassigned:    message.GetUnassigned(),
		UpdatedAfter:  ticketcodec.ToInstant(message.GetUpdatedAfter()),
		UpdatedBefore: ticketcodec.ToInstant(message.GetUpdatedBefore()),
		Text:          message.GetText(),
	}
	for _, status := range message.GetStatuses() {
		filter.Statuses = append(filter.Statuses, ticket.Status(status))
	}
	// A condition of a newer version must not be ignored: the filter would select more tickets than were asked for.
	if message != nil && len(message.ProtoReflect().GetUnknown()) > 0 {
		violations.Add("filter", "has a field that this version of ticketsvc does not know")
	}
	if filter.Check("filter", violations); violations.Err() != nil {
		return filter // It may be as large as a request, and is rejected.
	}
	return filter.Normal()
}

// ToTicketID returns the ticket id of a request. The error is a [*ticket.InvalidError].
func ToTicketID(id string) (string, error) {
	var violations ticket.Violations
	violations.CheckID("ticket_id", id)
	return id, violations.Err()
}

// ToTicketIDs returns the ticket ids of a request without duplicates, in the order of their first occurrence. The error is a
// [*ticket.InvalidError].
func ToTicketIDs(request *ticketv1.BatchGetTicketsRequest) ([]string, error) {
	var violations ticket.Violations
	ids := violations.CheckBatch("ticket_ids", request.GetTicketIds())
	return ids, violations.Err()
}

// ToEventQuery returns the ticket id of a request, and the maximum number of events on a page. The error is a [*ticket.InvalidError].
func ToEventQuery(request *ticketv1.ListTicketEventsRequest) (ticketID string, pageSize int, err error) {
	var violations ticket.Violations
	violations.CheckID("ticket_id", request.GetTicketId())
	pageSize = toPageSize(request.GetPageSize(), &violations)
	return request.GetTicketId(), pageSize, violations.Err()
}

func toPageSize(requested int32, violations *ticket.Violations) int {
	size, ok := ticket.PageSize(requested)
	if !ok {
		violations.Add("page_size", "must not be negative")
	}
	return size
}

// ToErasures returns the ids of the tickets whose erasures a request repeats, in their order. The error is a [*ticket.InvalidError].
func ToErasures(request *ticketv1.RepeatErasuresRequest) ([]string, error) {
	var violations ticket.Violations
	if len(request.GetErasures()) > elements.MaxErasures {
		violations.Add("erasures", fmt.Sprintf("must have at most %d values", elements.MaxErasures))
		return nil, violations.Err()
	}
	ids := make([]string, len(request.GetErasures()))
	for i, erasure := range request.GetErasures() {
		ids[i] = erasure.GetTicketId()
		violations.CheckID(fmt.Sprintf("erasures[%d].ticket_id", i), ids[i])
	}
	return ids, violations.Err()
}
