package ticketcodec_test

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketcodec"
)

// BenchmarkStoredTicket reads and writes a ticket of about 1.5 kB, as every event does, here and by the protobuf runtime. Ours reads and
// writes the stamps as well; the runtime's figures leave out the way between its struct and the rules'.
func BenchmarkStoredTicket(b *testing.B) {
	values := ticket.Ticket{Title: "Heizung im Bad kalt", Description: strings.Repeat("Seit gestern Abend ", 12), StatusText: "closed",
		AppID: "82662ee4-0080-4960-8b8f-000000000001", LabelIDs: []string{"5e00aa01"}, Attributes: map[string]string{}}
	for i := range 15 {
		values.Attributes[fmt.Sprintf("_embedded.thing%d", i)] = `{"id":"5b00c001","name":"something"}`
	}
	record := ticket.NewRecord("5f0c1e2d3b4a596877660101")
	record.Apply(&ticket.Change{EventID: "e", Name: ticket.Created, OccurTime: tickettest.At(1), Values: values,
		Named: tickettest.Named("title", "description", "status_text", "app_id", "label_ids")})
	content, stamps := ticketcodec.MarshalRecord(record)
	b.Run("here", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r, err := ticketcodec.UnmarshalRecord(content, stamps)
			if err != nil {
				b.Fatal(err)
			}
			ticketcodec.MarshalRecord(r)
		}
	})
	b.Run("runtime", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m := &ticketv1.Ticket{}
			if err := proto.Unmarshal(content, m); err != nil {
				b.Fatal(err)
			}
			if _, err := (proto.MarshalOptions{Deterministic: true}).Marshal(m); err != nil {
				b.Fatal(err)
			}
		}
	})
}
