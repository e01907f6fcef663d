package rpc_test

import (
	"fmt"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"pgregory.net/rapid"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc"
)

// TestJSONBytes_property checks that no message is larger in JSON than JSONBytes returns, and that large strings are hardly smaller.
func TestJSONBytes_property(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := func(name string) string {
			// Each of these characters has a different length in JSON.
			return rapid.StringOf(rapid.RuneFrom([]rune("aä😀\x00\x1f\x7f\n\t\"\\</\u2028\ufffd"))).Draw(t, name)
		}
		texts := func(name string) map[string]string { return map[string]string{text(name): text(name), name: ""} }
		one := &ticketv1.Ticket{TicketId: text("id"), Description: strings.Repeat(text("description"), 1000),
			Status: ticketv1.TicketStatus(rapid.Int32Range(-1, 9).Draw(t, "status")), LabelIds: []string{text("label"), ""},
			CommentCount: rapid.Int32().Draw(t, "comments"), Revision: rapid.Int64().Draw(t, "revision"), Complete: rapid.Bool().Draw(t, "complete"),
			CreateTime: at(rapid.Int64Range(-1e9, 1e9).Draw(t, "time")), Attributes: texts("attributes"),
			CustomSettings: []*ticketv1.CustomSetting{{}, {Key: text("key"), Attributes: texts("setting"),
				SettingValue: &ticketv1.CustomSetting_Value{Value: text("value")}}}}
		for _, message := range []proto.Message{
			&ticketv1.GetTicketResponse{Ticket: one},
			&ticketv1.ListTicketsResponse{Tickets: []*ticketv1.Ticket{one, one}, NextPageToken: text("token")},
			&ticketv1.ListTicketEventsResponse{Events: []*ticketv1.TicketEvent{{EventId: text("event"), OccurTime: at(1), Sequence: 1 << 60,
				ChangedFields: &fieldmaskpb.FieldMask{Paths: []string{"custom_settings", "title"}}}}},
		} {
			form, err := rpc.JSONCodec.Marshal(message)
			if err != nil {
				t.Fatal(err)
			}
			if most := rpc.JSONBytes(message); most < len(form) || most > len(form)+5000 {
				t.Errorf("%d bytes of JSON, said to be at most %d", len(form), most)
			}
		}
	})
}

// BenchmarkGetTicket reads a ticket of usual size over one connection, one call after the other.
func BenchmarkGetTicket(b *testing.B) {
	for _, protocol := range []string{"Connect", "gRPC"} {
		b.Run(protocol, func(b *testing.B) {
			store := mustOpenStore(b)
			request := created("e", "t", 1)
			request.Ticket.Description = strings.Repeat("Heizung im Bad kalt. ", 100)
			for i := range 10 {
				request.Ticket.Attributes[fmt.Sprint("attribute", i)] = `"value"`
			}
			s := mustServe(b, store)
			c := newClient(b, s, protocol, connect.WithAcceptCompression("gzip", nil, nil))
			if _, err := c.TicketCreated(b.Context(), request); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.GetTicket(b.Context(), &ticketv1.GetTicketRequest{TicketId: "t"}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
