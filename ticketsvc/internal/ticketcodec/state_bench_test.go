package ticketcodec_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketcodec"
)

// BenchmarkStoredTicket decodes and encodes a ticket of about 1.5 kB, as every event does.
func BenchmarkStoredTicket(b *testing.B) {
	values := ticket.Ticket{Title: "Heizung im Bad kalt", Description: strings.Repeat("Seit gestern Abend ", 12), StatusText: "closed",
		AppID: "82662ee4-0080-4960-8b8f-000000000001", LabelIDs: []string{"5e00aa01"}, Attributes: map[string]string{}}
	for i := range 15 {
		values.Attributes[fmt.Sprintf("_embedded.thing%d", i)] = `{"id":"5b00c001","name":"something"}`
	}
	state := ticket.NewState("5f0c1e2d3b4a596877660101")
	state.Apply(&ticket.Change{EventID: "e", Name: ticket.Created, OccurTime: tickettest.At(1), Values: values,
		Fields: tickettest.Named("title", "description", "status_text", "app_id", "label_ids")})
	content, versions := ticketcodec.MarshalState(state)
	b.ReportAllocs()
	for b.Loop() {
		r, err := ticketcodec.UnmarshalState(content, versions)
		if err != nil {
			b.Fatal(err)
		}
		ticketcodec.MarshalState(r)
	}
}
