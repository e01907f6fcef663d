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

// drawRecord draws the state of some events.
func drawRecord(t *rapid.T) *ticket.State {
	record := ticket.NewState("ticket")
	for _, c := range tickettest.Changes(t, "ticket") {
		record.Apply(&c)
	}
	return record
}

func TestStoredTicketsAreMessagesOfTheContract(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		record := drawRecord(t)
		content, _ := ticketcodec.MarshalState(record)
		want := ticketcodec.FromTicket(&record.Ticket)
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
		if diff := cmp.Diff(record.Ticket, back); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestRecordsComeBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := drawRecord(t)
		content, stamps := ticketcodec.MarshalState(want)
		got, err := ticketcodec.UnmarshalState(content, stamps)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
		for length := range stamps {
			if _, err := ticketcodec.UnmarshalState(content, stamps[:length]); err == nil {
				t.Fatalf("the first %d of %d bytes are taken for stamps", length, len(stamps))
			}
		}
	})
}

func TestContentsComeBack(t *testing.T) {
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

func FuzzUnmarshalRecord(f *testing.F) {
	record := ticket.NewState("ticket")
	record.Apply(&ticket.Change{EventID: "e", TicketID: "ticket", OccurTime: tickettest.At(1),
		Fields: tickettest.Named("title", "custom_settings", "label_ids", "update_time"), ElementChanges: tickettest.Named("label_ids"),
		Values: ticket.Ticket{Title: "title", UpdateTime: tickettest.At(2), Attributes: map[string]string{"read": "true"},
			CustomSettings: []ticket.CustomSetting{{Key: "k", Kind: ticket.JSONValue, Value: "1", Attributes: map[string]string{"a": "b"}}}}})
	content, stamps := ticketcodec.MarshalState(record)
	f.Add(content, stamps)
	for _, kept := range form1 {
		content, err := hex.DecodeString(kept.content)
		if err != nil {
			f.Fatal(err)
		}
		versions, err := hex.DecodeString(kept.versions)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content, versions)
	}
	f.Fuzz(func(t *testing.T, content, stamps []byte) {
		record, err := ticketcodec.UnmarshalState(content, stamps)
		if err != nil {
			return
		}
		// The decoded state must be complete: encoded and decoded again, it is the same.
		again, err := ticketcodec.UnmarshalState(ticketcodec.MarshalState(record))
		if err != nil {
			t.Fatal(err)
		}
		content, stamps = ticketcodec.MarshalState(record)
		againContent, againStamps := ticketcodec.MarshalState(again)
		if !bytes.Equal(content, againContent) || !bytes.Equal(stamps, againStamps) {
			t.Errorf("bytes %x %x become %x %x", content, stamps, againContent, againStamps)
		}
	})
}
