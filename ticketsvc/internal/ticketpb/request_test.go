package ticketpb_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketpb"
)

// violated returns the fields of an error's violations.
func violated(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	var invalid *ticket.InvalidError
	if !errors.As(err, &invalid) {
		t.Fatalf("error %v, want an InvalidError", err)
	}
	var fields []string
	for _, v := range invalid.Violations {
		fields = append(fields, v.Field)
	}
	return fields
}

func at(seconds int64) *timestamppb.Timestamp {
	return &timestamppb.Timestamp{Seconds: tickettest.At(seconds).Seconds}
}

func TestToCreated_maskedFields(t *testing.T) {
	t.Parallel()
	request := &ticketv1.TicketUpdatedRequest{
		Event: &ticketv1.EventMetadata{EventId: "e", OccurTime: at(1), ReceiveTime: at(2)},
		Ticket: &ticketv1.Ticket{TicketId: "t", Title: "named", Description: "not named", Status: ticketv1.TicketStatus_TICKET_STATUS_CLOSED,
			CreateTime: &timestamppb.Timestamp{Nanos: -1}, Revision: 7, Complete: true, Attributes: map[string]string{"read": "true"}},
		FieldMask:    &fieldmaskpb.FieldMask{Paths: []string{"title", "label_ids", "attributes", "title"}},
		FullSnapshot: true,
	}
	got, err := ticketpb.ToUpdated(request)
	if err != nil {
		t.Fatal(err)
	}
	want := ticket.Change{EventID: "e", Name: ticket.Updated, TicketID: "t", OccurTime: tickettest.At(1), ReceiveTime: tickettest.At(2),
		FullSnapshot: true, Fields: tickettest.Named("title", "label_ids"),
		Values: ticket.Ticket{Title: "named", Attributes: map[string]string{"read": "true"}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	request.FieldMask.Paths = []string{"title"}
	if got, err = ticketpb.ToUpdated(request); err != nil || got.Values.Attributes != nil {
		t.Errorf("attributes that are not named: %v, %v", got.Values.Attributes, err)
	}
}

func TestToUpdated_elementChanges(t *testing.T) {
	t.Parallel()
	settings := []*ticketv1.CustomSetting{{Key: "ignored"}}
	request := &ticketv1.TicketUpdatedRequest{
		Event: &ticketv1.EventMetadata{EventId: "e", OccurTime: at(1)},
		Ticket: &ticketv1.Ticket{TicketId: "t", LabelIds: []string{"ignored"}, CustomSettings: settings, Tags: []string{"x"},
			Attributes: map[string]string{"labels": `{"added":["a"]}`}},
		FieldMask:         &fieldmaskpb.FieldMask{Paths: []string{"label_ids", "custom_settings", "tags", "attributes"}},
		ElementChangeMask: &fieldmaskpb.FieldMask{Paths: []string{"label_ids", "custom_settings", "label_ids"}},
	}
	got, err := ticketpb.ToUpdated(request)
	if err != nil {
		t.Fatal(err)
	}
	want := ticket.Change{EventID: "e", Name: ticket.Updated, TicketID: "t", OccurTime: tickettest.At(1),
		Fields: tickettest.Named("label_ids", "custom_settings", "tags"), ElementChanges: tickettest.Named("label_ids", "custom_settings"),
		Values: ticket.Ticket{Tags: []string{"x"}, Attributes: map[string]string{"labels": `{"added":["a"]}`}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	created, err := ticketpb.ToCreated(&ticketv1.TicketCreatedRequest{Event: request.Event, Ticket: request.Ticket,
		FieldMask: request.FieldMask, ElementChangeMask: request.ElementChangeMask})
	want.Name = ticket.Created
	if diff := cmp.Diff(want, created); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestToCreated_invalid(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*ticketv1.TicketCreatedRequest)
		want   []string
	}{
		"nothing": {func(r *ticketv1.TicketCreatedRequest) {
			*r = ticketv1.TicketCreatedRequest{}
		}, []string{"event.event_id", "ticket.ticket_id", "event.occur_time"}},
		"a long event id": {func(r *ticketv1.TicketCreatedRequest) {
			r.Event.EventId = strings.Repeat("x", 257)
		}, []string{"event.event_id"}},
		"a long ticket id": {func(r *ticketv1.TicketCreatedRequest) {
			r.Ticket.TicketId = strings.Repeat("é", 129)
		}, []string{"ticket.ticket_id"}},
		"hidden characters in ids": {func(r *ticketv1.TicketCreatedRequest) {
			r.Event.EventId, r.Ticket.TicketId = "e\u200b", "t\u202e"
		}, []string{"event.event_id", "ticket.ticket_id"}},
		"other ids that are none": {func(r *ticketv1.TicketCreatedRequest) {
			r.FieldMask.Paths = []string{"app_id", "category_id", "assignee_id", "creator_id", "property_id", "label_ids", "file_ids"}
			r.Ticket = &ticketv1.Ticket{TicketId: "t", AppId: strings.Repeat("a", 257), CategoryId: "c\x00", AssigneeId: "u\u2066",
				CreatorId: "u\ufeff", PropertyId: strings.Repeat("p", 300), LabelIds: []string{"", "l", "l\n"}, FileIds: []string{"f\u009b"}}
		}, []string{"ticket.app_id", "ticket.category_id", "ticket.assignee_id", "ticket.creator_id", "ticket.property_id", "ticket.label_ids",
			"ticket.file_ids"}},
		"a time before year 1": {func(r *ticketv1.TicketCreatedRequest) {
			r.Event.OccurTime.Seconds = -62135596801
		}, []string{"event.occur_time"}},
		"a bad receive time": {func(r *ticketv1.TicketCreatedRequest) {
			r.Event.ReceiveTime = &timestamppb.Timestamp{Nanos: -1}
		}, []string{"event.receive_time"}},
		"a bad named time": {func(r *ticketv1.TicketCreatedRequest) {
			r.Ticket.CreateTime = &timestamppb.Timestamp{Seconds: 1 << 60}
		}, []string{"ticket.create_time"}},
		"the ticket's id in the mask": {func(r *ticketv1.TicketCreatedRequest) {
			r.FieldMask.Paths = []string{"ticket_id", "revision"}
		}, []string{"field_mask"}},
		"the status in the mask": {func(r *ticketv1.TicketCreatedRequest) {
			r.FieldMask.Paths = []string{"status"}
		}, []string{"field_mask"}},
		"completeness in the mask": {func(r *ticketv1.TicketCreatedRequest) {
			r.FieldMask.Paths = []string{"complete"}
		}, []string{"field_mask"}},
		"an element change of a field that is no list": {func(r *ticketv1.TicketCreatedRequest) {
			r.ElementChangeMask = &fieldmaskpb.FieldMask{Paths: []string{"title"}}
		}, []string{"element_change_mask"}},
		"an element change of a list that is not named": {func(r *ticketv1.TicketCreatedRequest) {
			r.ElementChangeMask = &fieldmaskpb.FieldMask{Paths: []string{"label_ids"}}
		}, []string{"element_change_mask"}},
		"an element change of attributes": {func(r *ticketv1.TicketCreatedRequest) {
			r.FieldMask.Paths = []string{"attributes"}
			r.ElementChangeMask = &fieldmaskpb.FieldMask{Paths: []string{"attributes"}}
		}, []string{"element_change_mask"}},
		"an element change of an unknown field": {func(r *ticketv1.TicketCreatedRequest) {
			r.ElementChangeMask = &fieldmaskpb.FieldMask{Paths: []string{"", "ticket.label_ids"}}
		}, []string{"element_change_mask"}},
		"an unknown field": {func(r *ticketv1.TicketCreatedRequest) {
			r.FieldMask.Paths = []string{"ticket.title"}
		}, []string{"field_mask"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			request := &ticketv1.TicketCreatedRequest{Event: &ticketv1.EventMetadata{EventId: "e", OccurTime: at(1)},
				Ticket: &ticketv1.Ticket{TicketId: "t"}, FieldMask: &fieldmaskpb.FieldMask{Paths: []string{"title", "create_time"}}}
			if _, err := ticketpb.ToCreated(request); err != nil {
				t.Fatal(err)
			}
			test.change(request)
			_, err := ticketpb.ToCreated(request)
			if diff := cmp.Diff(test.want, violated(t, err)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestToListQuery(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		request *ticketv1.ListTicketsRequest
		want    []string
	}{
		"nothing": {&ticketv1.ListTicketsRequest{}, nil},
		"all at once": {&ticketv1.ListTicketsRequest{PageSize: -1, OrderBy: "title", Filter: &ticketv1.TicketFilter{
			Text: "!", Statuses: []ticketv1.TicketStatus{99},
		}}, []string{"order_by", "page_size", "filter.statuses", "filter.text"}},
		"a bad time": {&ticketv1.ListTicketsRequest{Filter: &ticketv1.TicketFilter{
			UpdatedBefore: &timestamppb.Timestamp{Nanos: -1},
		}}, []string{"filter.updated_before"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := ticketpb.ToListQuery(test.request)
			if diff := cmp.Diff(test.want, violated(t, err)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestToTicketIDs(t *testing.T) {
	t.Parallel()
	request := &ticketv1.BatchGetTicketsRequest{TicketIds: []string{"b", "a", "b", "c", "a"}}
	got, err := ticketpb.ToTicketIDs(request)
	if err != nil || !slices.Equal(got, []string{"b", "a", "c"}) || len(request.TicketIds) != 5 {
		t.Errorf("ids %q, %v", got, err)
	}
	tooMany := &ticketv1.BatchGetTicketsRequest{}
	for i := range 1001 {
		tooMany.TicketIds = append(tooMany.TicketIds, fmt.Sprint(i))
	}
	for want, request := range map[string]*ticketv1.BatchGetTicketsRequest{
		"ticket_ids":    tooMany,
		"ticket_ids[1]": {TicketIds: []string{"a", "", strings.Repeat("x", 257)}},
		"ticket_ids[0]": {TicketIds: []string{strings.Repeat("x", 257), ""}},
	} {
		_, err := ticketpb.ToTicketIDs(request)
		if diff := cmp.Diff([]string{want}, violated(t, err)); diff != "" {
			t.Error(diff)
		}
	}
}

// TestToFilter_newerContract has an unknown condition.
func TestToFilter_newerContract(t *testing.T) {
	t.Parallel()
	message := &ticketv1.TicketFilter{}
	message.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 1000, protowire.VarintType), 1))
	_, err := ticketpb.ToFilter(message)
	if diff := cmp.Diff([]string{"filter"}, violated(t, err)); diff != "" {
		t.Error(diff)
	}
}

// TestToFilter_knowsEveryField checks that each field of the contract's filter is one condition. Everything else that is done with a filter
// ranges over its conditions.
func TestToFilter_knowsEveryField(t *testing.T) {
	t.Parallel()
	numbers := map[byte]bool{}
	for field := range tickettest.FilterFields() {
		filter, err := ticketpb.ToFilter(tickettest.FilterWith(field, 1))
		if err != nil {
			t.Fatal(err)
		}
		conditions := filter.Conditions()
		if len(conditions) != 1 || conditions[0].Name != string(field.Name()) || conditions[0].IsList != field.IsList() ||
			numbers[conditions[0].Number] {
			t.Errorf("a filter with %s has the conditions %+v, want one with this name and a number of its own", field.Name(), conditions)
			continue
		}
		numbers[conditions[0].Number] = true
	}
	none := ticket.Filter{}
	if conditions := none.Conditions(); len(conditions) != 0 {
		t.Errorf("the zero filter has the conditions %+v", conditions)
	}
}

// TestToFilter_refusedCostsNothing has a filter of the maximum size of a request: to sort its words and ids would take seconds.
func TestToFilter_refusedCostsNothing(t *testing.T) {
	t.Parallel()
	text, ids := strings.Repeat("Heizung KALT ", 100), slices.Repeat([]string{"b", "a"}, 100)
	filter, err := ticketpb.ToFilter(&ticketv1.TicketFilter{Text: text, AppIds: ids})
	if diff := cmp.Diff([]string{"filter.app_ids", "filter.text"}, violated(t, err)); diff != "" {
		t.Error(diff)
	}
	if filter.Text != text || len(filter.AppIDs) != len(ids) {
		t.Errorf("a text of %d bytes and %d ids are left, want that nobody looked at what they say", len(filter.Text), len(filter.AppIDs))
	}
}
