package ticketcodec_test

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketcodec"
)

// form1 are tickets as stored by the last version that wrote form 1, each with its events as that version stored them.
var form1 = []struct {
	id, content, versions string
	events                []form1Event
}{
	{"tie", "0A037469653002220C4865697A756E67206B616C743A1477616974696E672D666F722D637573746F6D65725204757365726203EFBFBD720161720162AA01" +
		"060883CAE2D006BA011A0A0E5F656D6265646465642E756E69741208225C756438303122BA01150A096372656174656442791208225C756438303022BA010F0A" +
		"08736F7274486173681203227822C00104C80101",
		"01038294C5A10D0007637265617465648494C5A10D0004666666668694C5A10D000763726561746F72018494C5A10D0006040007010A020C000E001501010101",
		[]form1Event{
			{"created", ticket.Created, 1, "0604070A0C0E150E5F656D6265646465642E756E69740963726561746564427908736F727448617368",
				"220C4865697A756E67206B616C743A1177616974696E672D666F722D6167656E745203EFBFBD6203EFBFBD720161720162AA01060881CAE2D006BA011A0A0E" +
					"5F656D6265646465642E756E69741208225C756438303122BA01150A096372656174656442791208225C756438303022BA010F0A08736F727448617368" +
					"1203227822"},
			{"ffff", ticket.Updated, 2, "020715", "3A1477616974696E672D666F722D637573746F6D6572AA01060882CAE2D006"},
			{"0000", ticket.Updated, 2, "020715", "3A06636C6F736564AA01060883CAE2D006"},
			{"creator", ticket.Updated, 3, "010A", "520475736572"},
		}},
	{"incomplete", "0A0A696E636F6D706C65746522056561726C799201060A016B220131AA01060884CAE2D006C00101",
		"01018894C5A10D00056561726C79000204001200",
		[]form1Event{{"early", ticket.Updated, 4, "020412", "22056561726C799201060A016B220131"}}},
}

type form1Event struct {
	id               string
	name             ticket.EventName
	at               int64
	content, payload string
}

func mustHex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestUnmarshalState_form1 compares states of form 1 with the result of their events, which the same version recorded. In that version,
// ffff is later than 0000 at the same time, whatever their update times are.
func TestUnmarshalState_form1(t *testing.T) {
	t.Parallel()
	for _, stored := range form1 {
		got, err := ticketcodec.UnmarshalState(mustHex(t, stored.content), mustHex(t, stored.versions))
		if err != nil {
			t.Fatal(err)
		}
		want := ticket.NewState(stored.id)
		for _, e := range stored.events {
			row := ticketcodec.LogRow{Event: ticket.Event{EventID: e.id, Name: e.name, TicketID: stored.id},
				OccurTime: tickettest.At(e.at).SortableText(), Content: mustHex(t, e.content)}
			change, err := ticketcodec.UnmarshalChange(&row, false, mustHex(t, e.payload))
			if err != nil {
				t.Fatal(err)
			}
			want.Apply(&change)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		content, versions := ticketcodec.MarshalState(got)
		wantContent, wantVersions := ticketcodec.MarshalState(want)
		if !bytes.Equal(content, wantContent) || !bytes.Equal(versions, wantVersions) || versions[0] != 2 {
			t.Errorf("%s is written as %x %x, want %x %x", stored.id, content, versions, wantContent, wantVersions)
		}
	}
}

// TestMarshalState_form2 checks that the form stays the same as in existing databases.
func TestMarshalState_form2(t *testing.T) {
	t.Parallel()
	state := ticket.NewState("t")
	state.Apply(&ticket.Change{EventID: "a", Name: ticket.Created, TicketID: "t", OccurTime: tickettest.At(1),
		Fields: tickettest.Named("title", "label_ids"), Values: ticket.Ticket{Title: "x", Attributes: map[string]string{"read": "true"}}})
	change := ticket.Change{EventID: "b", Name: ticket.Updated, TicketID: "t", OccurTime: tickettest.At(1),
		Fields: tickettest.Named("label_ids", "update_time"), ElementChanges: tickettest.Named("label_ids"),
		Values: ticket.Ticket{UpdateTime: tickettest.At(2), Attributes: map[string]string{"labels": "{}"}}}
	state.Apply(&change)
	content, versions := ticketcodec.MarshalState(state)
	for _, test := range []struct{ name, got, want string }{
		{"content", hex.EncodeToString(content),
			"0a0174220178aa01060882cae2d006ba010c0a066c6162656c7312027b7dba010c0a0472656164120474727565c00102"},
		{"versions", hex.EncodeToString(versions), "02028294c5a10d000001618294c5a10d00018494c5a10d000162018494c5a10d0001010e0304000e0115010001"},
		{"content of an event", hex.EncodeToString(ticketcodec.MarshalChangedFields(change.ChangedFields())), "040e15c69401b89401066c6162656c73"},
	} {
		if test.got != test.want {
			t.Errorf("%s: %s, want %s", test.name, test.got, test.want)
		}
	}
}

// TestUnmarshalState_form1_equalTimes has a new event with the same time as events of form 1, which have no update time.
func TestUnmarshalState_form1_equalTimes(t *testing.T) {
	t.Parallel()
	tie := form1[0]
	state, err := ticketcodec.UnmarshalState(mustHex(t, tie.content), mustHex(t, tie.versions))
	if err != nil {
		t.Fatal(err)
	}
	if got := state.Ticket; got.StatusText != "waiting-for-customer" || !got.Complete || got.Attributes["createdBy"] != "" {
		t.Errorf("the ticket is %+v", got)
	}
	state.Apply(&ticket.Change{EventID: "0", Name: ticket.Updated, TicketID: "tie", OccurTime: tickettest.At(2),
		Fields: tickettest.Named("status_text", "update_time"), Values: ticket.Ticket{StatusText: "closed", UpdateTime: tickettest.At(0)}})
	if got := state.Ticket.StatusText; got != "closed" {
		t.Errorf("status %q, want closed", got)
	}
}
