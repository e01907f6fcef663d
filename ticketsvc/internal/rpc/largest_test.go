package rpc_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketcodec"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/watch"
)

// TestService_largestEvent records an event of the maximum size, and reads its ticket. In JSON, where a byte can become six, the error
// must ask the caller to use protobuf.
func TestService_largestEvent(t *testing.T) {
	t.Parallel()
	s := mustServe(t, mustOpenStore(t))
	request := created("largest", "largest", 1)
	request.Ticket.Title = strings.Repeat("x", rpc.MaxReadBytes-1000)
	request.Ticket.Title += strings.Repeat("x", rpc.MaxReadBytes-proto.Size(request))
	if _, err := newClient(t, s, "gRPC").TicketCreated(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	for protocol := range protocols {
		if protocol == "Connect JSON" {
			continue
		}
		c := newClient(t, s, protocol, connect.WithAcceptCompression("gzip", nil, nil))
		got, err := c.GetTicket(t.Context(), &ticketv1.GetTicketRequest{TicketId: "largest"})
		if err != nil || got.GetTicket().GetTitle() != request.Ticket.Title {
			t.Errorf("%s, GetTicket: a title of %d bytes, %v", protocol, len(got.GetTicket().GetTitle()), err)
		}
		list, err := c.ListTickets(t.Context(), &ticketv1.ListTicketsRequest{})
		if err != nil || len(list.GetTickets()) != 1 {
			t.Errorf("%s, ListTickets: %d tickets, %v", protocol, len(list.GetTickets()), err)
		}
	}
}

// TestService_largestTicket records events until no further event fits into the ticket. All callers must be able to read the ticket,
// and to continue after it.
func TestService_largestTicket(t *testing.T) {
	t.Parallel()
	store := mustOpenStore(t)
	streams := patient
	streams.Slow = time.Hour // The watcher reads nothing until everybody else has read.
	s := mustServeLimited(t, store, rpc.Security{}, watch.DefaultLimits(), streams)
	changes := mustWatch(t, newClient(t, s, "gRPC", uncompressed), "", nil)
	changes.expect(t, "heartbeat")
	c := newClient(t, s, "gRPC")
	update := func(eventID string, seconds int64, field, text string) error {
		request := &ticketv1.TicketUpdatedRequest{Event: &ticketv1.EventMetadata{EventId: eventID, OccurTime: at(seconds)},
			Ticket: &ticketv1.Ticket{TicketId: "large"}, FieldMask: &fieldmaskpb.FieldMask{Paths: []string{field}}}
		message := request.Ticket.ProtoReflect()
		message.Set(message.Descriptor().Fields().ByName(protoreflect.Name(field)), protoreflect.ValueOfString(text))
		_, err := c.TicketUpdated(t.Context(), request)
		return err
	}
	text := strings.Repeat("x", ticket.MaxBytes*2/3)
	if err := update("e1", 1, "title", text); err != nil {
		t.Fatal(err)
	}
	if err := update("e2", 2, "unit_name", text[:ticket.MaxBytes-len(text)-len("large")]); err != nil {
		t.Fatal(err)
	}
	for i, field := range []string{"description", "phone_number"} {
		err := update(field, 3, field, text[i:2*i+1])
		if connect.CodeOf(err) != connect.CodeResourceExhausted || retryDelay(t, err) != 0 {
			t.Errorf("%s: %v, want RESOURCE_EXHAUSTED for good", field, err)
		}
	}
	mustRecord(t, store, titled("e3", "z", 1, "last"))

	for protocol := range protocols {
		if protocol == "Connect JSON" {
			continue
		}
		c := newClient(t, s, protocol, uncompressed)
		if got, err := c.GetTicket(t.Context(), &ticketv1.GetTicketRequest{TicketId: "large"}); err != nil ||
			got.GetTicket().GetRevision() != 2 {
			t.Errorf("%s, GetTicket: revision %d, %v", protocol, got.GetTicket().GetRevision(), err)
		}
		batch, err := c.BatchGetTickets(t.Context(), &ticketv1.BatchGetTicketsRequest{TicketIds: []string{"large", "z"}})
		if err != nil || len(batch.GetTickets()) != 2 {
			t.Errorf("%s, BatchGetTickets: %d tickets, %v", protocol, len(batch.GetTickets()), err)
		}
		list, err := c.ListTickets(t.Context(), &ticketv1.ListTicketsRequest{})
		if err != nil || len(list.GetTickets()) != 1 || list.GetNextPageToken() == "" {
			t.Errorf("%s, ListTickets: %d tickets, %v", protocol, len(list.GetTickets()), err)
		}
		events, err := c.ListTicketEvents(t.Context(), &ticketv1.ListTicketEventsRequest{TicketId: "large"})
		if err != nil || len(events.GetEvents()) != 2 {
			t.Errorf("%s, ListTicketEvents: %d events, %v", protocol, len(events.GetEvents()), err)
		}
		snapshot := mustWatch(t, c, "", nil)
		snapshot.expect(t, "large "+strconv.Quote(text), `z "last"`, "heartbeat")
	}
	for changes.Receive() {
		if event := changes.Msg().GetChange().GetEvent(); event.GetEventId() == "e3" {
			return
		}
	}
	t.Errorf("the watcher: %v", changes.Err())
}

// TestService_largestTicketWithManyAttributes has a ticket at its limit. One of its events named the maximum number of attributes of an
// event. That event is in the log together with the ticket, and must be listed.
func TestService_largestTicketWithManyAttributes(t *testing.T) {
	t.Parallel()
	store := mustOpenStore(t)
	c := titled("attributes", "t", 1, "")
	c.Values.Attributes = map[string]string{}
	for i := range 9900 {
		c.Values.Attributes[fmt.Sprintf("%0100d", i)] = ""
	}
	mustRecord(t, store, c, titled("title", "t", 2, strings.Repeat("x", ticket.MaxBytes-9900*100-1)))
	entries, err := store.ReadLog(t.Context(), 0, ticket.PageLimit{Items: 1, Bytes: ticket.MaxPageBytes, Budget: rpc.CheckTicketFits})
	if err != nil || len(entries) != 1 || entries[0].Err != nil || entries[0].Ticket.Revision != 2 {
		t.Errorf("%d entries, %v: %.300v", len(entries), err, entries[0].Err)
	}
	got, err := newClient(t, mustServe(t, store), "gRPC").ListTicketEvents(t.Context(), &ticketv1.ListTicketEventsRequest{TicketId: "t"})
	if err != nil || len(got.GetEvents()) != 2 {
		t.Errorf("%d events are listed, %v", len(got.GetEvents()), err)
	}
}

// TestCheckTicketFits_largestTicket has the largest possible tickets, of texts and of elements. Each must be answered, also in
// JSON if JSON is not larger.
func TestCheckTicketFits_largestTicket(t *testing.T) {
	t.Parallel()
	for name, values := range map[string]func(n int) ticket.Ticket{
		"settings": func(n int) (values ticket.Ticket) {
			for range n {
				values.CustomSettings = append(values.CustomSettings, ticket.CustomSetting{Key: "k", Type: "t", Kind: ticket.TextValue})
			}
			return values
		},
		"attributes of a setting": func(n int) ticket.Ticket {
			attributes := map[string]string{}
			for i := range n {
				attributes[strconv.Itoa(i)] = ""
			}
			return ticket.Ticket{CustomSettings: []ticket.CustomSetting{{Attributes: attributes}}}
		},
		"tags": func(n int) ticket.Ticket { return ticket.Ticket{Tags: make([]string, n)} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, elements := range []int{0, 5000, 10_000, 20_000, 50_000} {
				c := ticket.Change{EventID: "e", Name: ticket.Updated, TicketID: "t", OccurTime: tickettest.At(1), Values: values(elements),
					Fields: tickettest.Named("title", "custom_settings", "tags")}
				// The texts of an element have at most 5 bytes.
				c.Values.Title = strings.Repeat("x", ticket.MaxBytes-5*elements-1-256*max(0, elements-10_000))
				r := ticket.NewState("t")
				if err := r.TryApply(&c); err != nil {
					t.Fatalf("%d elements: %v", elements, err)
				}
				content, _ := ticketcodec.MarshalState(r)
				w := ticketcodec.WeighTicket(content)
				if err := rpc.CheckTicketFits("t", w); err != nil {
					t.Errorf("%+v is not answered: %v", w, err)
				}
				if inJSON := rpc.ResponseBytes(w) + rpc.MaxTicketBytes; inJSON > rpc.MaxResponsesBytes/2-rpc.CallBytes {
					t.Errorf("%+v takes %d bytes, more than one caller may hold", w, inJSON)
				}
				c.Values.Title += strings.Repeat("x", 5*elements+1)
				if err := ticket.NewState("t").TryApply(&c); !errors.Is(err, ticket.ErrTicketTooLarge) {
					t.Errorf("%d elements, and more text: %v, want ErrFull", elements, err)
				}
			}
		})
	}
}
