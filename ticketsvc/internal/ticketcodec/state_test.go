package ticketcodec_test

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketcodec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// drawState draws the state of some events.
func drawState(t *rapid.T) *ticket.State {
	state := ticket.NewState("ticket")
	for _, c := range tickettest.Changes(t, "ticket") {
		state.Apply(&c)
	}
	return state
}

func TestMarshalState_contentIsAMessageOfTheContract(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		state := drawState(t)
		content, _ := ticketcodec.MarshalState(state)
		want := ticketcodec.FromTicket(&state.Ticket)
		got := &ticketv1.Ticket{}
		if err := proto.Unmarshal(content, got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Fatal(diff)
		}
		theirs, err := proto.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		back, err := ticketcodec.UnmarshalTicket("t", theirs)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(state.Ticket, back); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestMarshalState_roundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := drawState(t)
		content, versions := ticketcodec.MarshalState(want)
		got, err := ticketcodec.UnmarshalState(content, versions)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
		for length := range versions {
			if _, err := ticketcodec.UnmarshalState(content, versions[:length]); err == nil {
				t.Fatalf("the first %d of %d bytes are taken for versions", length, len(versions))
			}
		}
	})
}

func TestMarshalChangedFields_roundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		for _, c := range tickettest.Changes(t, "ticket") {
			got, err := ticketcodec.UnmarshalChangedFields(ticketcodec.MarshalChangedFields(c.ChangedFields()))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.ChangedFields(), got, cmpopts.EquateEmpty()); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

func FuzzUnmarshalState(f *testing.F) {
	state := ticket.NewState("ticket")
	state.Apply(&ticket.Change{EventID: "e", TicketID: "ticket", OccurTime: tickettest.At(1),
		Fields: tickettest.Named("title", "custom_settings", "label_ids", "update_time"), ElementChanges: tickettest.Named("label_ids"),
		Values: ticket.Ticket{Title: "title", UpdateTime: tickettest.At(2), Attributes: map[string]string{"read": "true"},
			CustomSettings: []ticket.CustomSetting{{Key: "k", Kind: ticket.JSONValue, Value: "1", Attributes: map[string]string{"a": "b"}}}}})
	content, versions := ticketcodec.MarshalState(state)
	f.Add(content, versions)
	for _, stored := range form1 {
		content, err := hex.DecodeString(stored.content)
		if err != nil {
			f.Fatal(err)
		}
		versions, err := hex.DecodeString(stored.versions)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content, versions)
	}
	f.Fuzz(func(t *testing.T, content, versions []byte) {
		state, err := ticketcodec.UnmarshalState(content, versions)
		if err != nil {
			return
		}
		// The decoded state must be complete: encoded and decoded again, it is the same.
		again, err := ticketcodec.UnmarshalState(ticketcodec.MarshalState(state))
		if err != nil {
			t.Fatal(err)
		}
		content, versions = ticketcodec.MarshalState(state)
		againContent, againVersions := ticketcodec.MarshalState(again)
		if !bytes.Equal(content, againContent) || !bytes.Equal(versions, againVersions) {
			t.Errorf("bytes %x %x become %x %x", content, versions, againContent, againVersions)
		}
	})
}
