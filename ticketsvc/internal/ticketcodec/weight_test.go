package ticketcodec_test

import (
	"strings"
	"testing"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketcodec"
)

func TestWeighTicket(t *testing.T) {
	t.Parallel()
	r := ticket.NewState("t")
	r.Ticket.Title, r.Ticket.Channels, r.Ticket.LabelIDs = "title", []string{"a", "b"}, []string{"c"}
	r.Ticket.CustomSettings = []ticket.CustomSetting{{}, {Key: "k", Attributes: map[string]string{"x": "1", "y": "2"}}}
	r.Ticket.Attributes = map[string]string{"z": "3"}
	content, _ := ticketcodec.MarshalState(r)
	if got, want := ticketcodec.WeighTicket(content), (ticket.Weight{Bytes: len(content), Elements: 3 + 2 + 2 + 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestWeighEvent(t *testing.T) {
	t.Parallel()
	title, _ := ticket.ParseField("title")
	content := ticketcodec.MarshalChangedFields(ticket.ChangedFields{Fields: ticket.FieldSet(0).With(title), VersionHasUpdateTime: true,
		AttributeKeys: []string{"a", strings.Repeat("b", 1000), ""}})
	if got, want := ticketcodec.WeighEvent(content), (ticket.Weight{Bytes: len(content), Elements: 3}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// FuzzWeigh weighs arbitrary bytes.
func FuzzWeigh(f *testing.F) {
	f.Add([]byte("\x02\x01\x02\x03abc"))
	f.Fuzz(func(t *testing.T, content []byte) {
		for _, w := range []ticket.Weight{ticketcodec.WeighTicket(content), ticketcodec.WeighEvent(content)} {
			if w.Bytes != len(content) || w.Elements > len(content) {
				t.Errorf("%d bytes weigh %+v", len(content), w)
			}
		}
	})
}
