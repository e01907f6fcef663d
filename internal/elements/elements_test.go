package elements_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"pgregory.net/rapid"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/internal/elements"
)

// inMemory counts the elements of a message that is unpacked.
func inMemory(message protoreflect.Message) int {
	count := 0
	message.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.IsMap():
			count += value.Map().Len()
		case field.IsList():
			count += value.List().Len()
			for i := 0; field.Message() != nil && i < value.List().Len(); i++ {
				count += inMemory(value.List().Get(i).Message())
			}
		case field.Message() != nil:
			count += inMemory(value.Message())
		}
		return true
	})
	return count
}

// anyRequest generates requests with a few elements everywhere.
var anyRequest = rapid.Custom(func(t *rapid.T) proto.Message {
	texts := func(name string) []string {
		return rapid.SliceOfN(rapid.SampledFrom([]string{"", "a", "b,c", `"[,]{`, "ü"}), 0, 4).Draw(t, name)
	}
	attributes := func(name string) map[string]string {
		m := map[string]string{}
		for _, text := range texts(name) {
			m[text] = text
		}
		return m
	}
	if rapid.Bool().Draw(t, "query") {
		filter := &ticketv1.TicketFilter{AppIds: texts("app ids"), CategoryIds: texts("categories"), Text: strings.Join(texts("text"), "")}
		for range rapid.IntRange(0, 4).Draw(t, "statuses") {
			filter.Statuses = append(filter.Statuses, ticketv1.TicketStatus_TICKET_STATUS_CLOSED)
		}
		return &ticketv1.ListTicketsRequest{Filter: filter, PageToken: "t"}
	}
	ticket := &ticketv1.Ticket{TicketId: "t", Title: `,",[`, Channels: texts("channels"), Labels: texts("labels"), Tags: texts("tags"),
		Files: texts("files"), Attributes: attributes("attributes")}
	for i, key := range texts("settings") {
		ticket.CustomSettings = append(ticket.CustomSettings, &ticketv1.CustomSetting{Key: key,
			Kind: &ticketv1.CustomSetting_ValueJson{ValueJson: "[1,2,3]"}, Attributes: attributes(fmt.Sprint("of setting ", i))})
	}
	paths := []string{"custom_settings", "app_id", "tags"}
	return &ticketv1.TicketUpdatedRequest{Ticket: ticket, Event: &ticketv1.EventMetadata{EventId: "e"},
		UpdateMask:        &fieldmaskpb.FieldMask{Paths: paths[:rapid.IntRange(0, 3).Draw(t, "paths")]},
		ElementChangeMask: &fieldmaskpb.FieldMask{Paths: paths[:rapid.IntRange(1, 2).Draw(t, "changed")]}}
})

func TestElements_countsWhatIsUnpacked(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		message := anyRequest.Draw(t, "message")
		want, of := inMemory(message.ProtoReflect()), message.ProtoReflect().Descriptor()
		binary, err := proto.Marshal(message)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := elements.InProto(binary, of); err != nil || got != want {
			t.Fatalf("InProto: %d, %v; want %d", got, err, want)
		}
		// A mask without paths is "", which is one path as far as its commas show.
		if mask := message.ProtoReflect().Descriptor().Fields().ByName("update_mask"); mask != nil &&
			len(message.(*ticketv1.TicketUpdatedRequest).GetUpdateMask().GetPaths()) == 0 {
			message.ProtoReflect().Clear(mask)
		}
		for _, options := range []protojson.MarshalOptions{{}, {UseProtoNames: true, Multiline: true}} {
			text, err := options.Marshal(message)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := elements.InJSON(text, of); err != nil || got != want {
				t.Fatalf("InJSON: %d, %v; want %d in %s", got, err, want, text)
			}
		}
	})
}

func TestElements_stopsAfterMax(t *testing.T) {
	t.Parallel()
	of := (&ticketv1.TicketCreatedRequest{}).ProtoReflect().Descriptor()
	for _, n := range []int{elements.Max, elements.Max + 1, 200_000} {
		want := min(n, elements.Max+1)
		for name, ticket := range map[string]*ticketv1.Ticket{
			"custom settings": {CustomSettings: make([]*ticketv1.CustomSetting, n)},
			"tags":            {Tags: make([]string, n)},
		} {
			for i := range ticket.GetCustomSettings() {
				ticket.CustomSettings[i] = &ticketv1.CustomSetting{}
			}
			message := &ticketv1.TicketCreatedRequest{Ticket: ticket}
			binary, err := proto.Marshal(message)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := elements.InProto(binary, of); err != nil || got != want {
				t.Errorf("%d %s: InProto: %d, %v; want %d", n, name, got, err, want)
			}
			text, err := protojson.Marshal(message)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := elements.InJSON(text, of); err != nil || got != want {
				t.Errorf("%d %s: InJSON: %d, %v; want %d", n, name, got, err, want)
			}
		}
		mask := []byte(`{"fieldMask":"title` + strings.Repeat(",a", n-1) + `"}`)
		if got, err := elements.InJSON(mask, of); err != nil || got != want {
			t.Errorf("a mask of %d paths: %d, %v; want %d", n, got, err, want)
		}
	}
}

func TestInProto_takesNoMemory(t *testing.T) {
	message := &ticketv1.TicketCreatedRequest{Ticket: &ticketv1.Ticket{Tags: make([]string, elements.Max),
		Attributes: map[string]string{"a": "b"}}}
	binary, err := proto.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	of := message.ProtoReflect().Descriptor()
	if allocations := testing.AllocsPerRun(10, func() { _, _ = elements.InProto(binary, of) }); allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}

// FuzzInProto has any bytes: whatever can be unpacked has no more elements than were counted.
func FuzzInProto(f *testing.F) {
	for _, seed := range []string{"", "\x0a\x02\xff\xfe", "\x12\x06\x92\x01\x00\x92\x01\x00", "\x12\x02\x72\x00", "\x1a\x03\x0a\x01a",
		"\x0b\x0b\x0c\x0c", "\x12\x05\xba\x01\x02\x0a\x00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, message := range []proto.Message{&ticketv1.TicketUpdatedRequest{}, &ticketv1.ListTicketsRequest{}} {
			counted, err := elements.InProto(data, message.ProtoReflect().Descriptor())
			if proto.Unmarshal(data, message) != nil {
				continue
			}
			if got := inMemory(message.ProtoReflect()); err != nil || got > counted {
				t.Errorf("counted %d, %v; unpacked %d", counted, err, got)
			}
		}
	})
}

// FuzzInJSON is as FuzzInProto, for texts.
func FuzzInJSON(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"ticket":{"tags":["a","b"],"tags":[],"customSettings":[{},{"attributes":{"a":"b","c":"d"}}]}}`,
		`{"update_mask":"title,tags"}`, `{"filter":{"app_ids":["\ud83e\udd76"],"statuses":[1,"TICKET_STATUS_CLOSED"]}}`, "{\"ticket\":null}",
		`{"\u0074icket":{"tags":["\ud800"]}}`, "[]", `{"filter":{"appIds":[`, `{"ticket":{"attributes":{"a":1e5,"b":"x"}}} {}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, message := range []proto.Message{&ticketv1.TicketUpdatedRequest{}, &ticketv1.ListTicketsRequest{}} {
			counted, err := elements.InJSON(bytes.Clone(data), message.ProtoReflect().Descriptor())
			if (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, message) != nil {
				continue
			}
			if got := inMemory(message.ProtoReflect()); err != nil || got > counted {
				t.Errorf("counted %d, %v; unpacked %d", counted, err, got)
			}
		}
	})
}
