package ticketcodec_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketcodec"
)

// unknown is a field number that no message has.
const unknown = 99

// titled returns the stored form of a state with one event, which named the title. The last bytes of the versions are the number of fields
// with a version, the number of the title in the contract, and the index of the event.
func titled() (content, versions []byte) {
	state := ticket.NewState("ticket")
	state.Apply(&ticket.Change{EventID: "e", TicketID: "ticket", OccurTime: tickettest.At(1), Fields: tickettest.Named("title"),
		Values: ticket.Ticket{Title: "title"}})
	return ticketcodec.MarshalState(state)
}

func mustMarshal(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestUnmarshalState_unknownInContent(t *testing.T) {
	t.Parallel()
	_, versions := titled()
	number := func(wireType protowire.Type) []byte { return protowire.AppendTag(nil, unknown, wireType) }
	text := protowire.AppendString(number(protowire.BytesType), "of a later version")
	setting := &ticketv1.CustomSetting{Key: "room"}
	setting.ProtoReflect().SetUnknown(text)
	created := &timestamppb.Timestamp{Seconds: tickettest.At(1).Seconds}
	created.ProtoReflect().SetUnknown(text)
	for name, test := range map[string]struct {
		content []byte
		want    ticket.Ticket
	}{
		"a string":       {text, ticket.Ticket{}},
		"a number":       {append(number(protowire.VarintType), 1), ticket.Ticket{}},
		"a number of 32": {append(number(protowire.Fixed32Type), 1, 2, 3, 4), ticket.Ticket{}},
		"a number of 64": {append(number(protowire.Fixed64Type), 1, 2, 3, 4, 5, 6, 7, 8), ticket.Ticket{}},
		"in a setting": {mustMarshal(t, &ticketv1.Ticket{CustomSettings: []*ticketv1.CustomSetting{setting}}),
			ticket.Ticket{CustomSettings: []ticket.CustomSetting{{Key: "room"}}}},
		"in a time": {mustMarshal(t, &ticketv1.Ticket{CreateTime: created}), ticket.Ticket{CreateTime: tickettest.At(1)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			content := slices.Concat(test.content, mustMarshal(t, &ticketv1.Ticket{TicketId: "ticket", Title: "title"}))
			test.want.ID, test.want.Title = "ticket", "title"
			got, err := ticketcodec.UnmarshalTicket("ticket", content)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			if _, err := ticketcodec.UnmarshalState(content, versions); !errors.Is(err, ticket.ErrNewerVersion) {
				t.Errorf("UnmarshalState = %v, want ErrNewerVersion", err)
			}
			for length := 1; length < len(test.content); length++ {
				if _, err := ticketcodec.UnmarshalState(content[:length], versions); err == nil || errors.Is(err, ticket.ErrNewerVersion) {
					t.Errorf("UnmarshalState of the first %d bytes = %v, want an error that they are malformed", length, err)
				}
			}
		})
	}
}

// TestUnmarshalTicket_unknownInEntry has an entry of a map with a third field. In protobuf an entry has only two fields.
func TestUnmarshalTicket_unknownInEntry(t *testing.T) {
	t.Parallel()
	attributes := (&ticketv1.Ticket{}).ProtoReflect().Descriptor().Fields().ByName(ticket.AttributesName).Number()
	entry := protowire.AppendString(protowire.AppendTag(nil, unknown, protowire.BytesType), "of a later version")
	got, err := ticketcodec.UnmarshalTicket("t", protowire.AppendBytes(protowire.AppendTag(nil, attributes, protowire.BytesType), entry))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ticket.Ticket{Attributes: map[string]string{"": ""}}, got); diff != "" {
		t.Error(diff)
	}
}

func TestUnmarshalState_unknownInVersions(t *testing.T) {
	t.Parallel()
	content, versions := titled()
	for name, test := range map[string]struct {
		change func(versions []byte)
		newer  bool
	}{
		"a later form":    {func(versions []byte) { versions[0]++ }, true},
		"a field":         {func(versions []byte) { versions[len(versions)-2] = unknown }, true},
		"no form":         {func(versions []byte) { versions[0] = 0 }, false},
		"no such event":   {func(versions []byte) { versions[len(versions)-1] = 1 }, false},
		"too many fields": {func(versions []byte) { versions[len(versions)-3] = 2 }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			versions := slices.Clone(versions)
			test.change(versions)
			if _, err := ticketcodec.UnmarshalState(content, versions); err == nil || errors.Is(err, ticket.ErrNewerVersion) != test.newer {
				t.Errorf("UnmarshalState = %v; is it ErrNewerVersion? want %v", err, test.newer)
			}
		})
	}
}

func TestUnmarshalChangedFields_unknownField(t *testing.T) {
	t.Parallel()
	b := ticketcodec.MarshalChangedFields(ticket.ChangedFields{Fields: tickettest.Named("title"), AttributeKeys: []string{"read"}})
	b[1] = unknown
	want := ticket.ChangedFields{AttributeKeys: []string{"read"}}
	if got, err := ticketcodec.UnmarshalChangedFields(b); !errors.Is(err, ticket.ErrNewerVersion) || !cmp.Equal(got, want) {
		t.Errorf("UnmarshalChangedFields = %+v, %v; want the known fields and ErrNewerVersion", got, err)
	}
	// The log shows such an event, without the unknown field.
	content, versions := titled()
	page := ticketcodec.NewLogPage(ticket.PageLimit{Items: 1})
	page.Add(&ticketcodec.LogRow{Event: ticket.Event{EventID: "e", TicketID: "ticket"}, Content: b, Ticket: content, Versions: versions})
	if got := page.Entries()[0]; got.Err != nil || got.Ticket.Title != "title" || !cmp.Equal(got.Event.ChangedFields, want) {
		t.Errorf("the entry is %+v", got)
	}
	for length := range 2 {
		if _, err := ticketcodec.UnmarshalChangedFields(b[:length]); err == nil || errors.Is(err, ticket.ErrNewerVersion) {
			t.Errorf("UnmarshalChangedFields of the first %d bytes = %v, want an error that they are malformed", length, err)
		}
	}
}
