package elements_test

import (
	"bytes"
	"fmt"
	"slices"
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

// inMemory counts the elements of an unpacked message.
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
	ticket := &ticketv1.Ticket{TicketId: "t", Title: `,",[`, Channels: texts("channels"), LabelIds: texts("labels"), Tags: texts("tags"),
		FileIds: texts("files"), Attributes: attributes("attributes")}
	for i, key := range texts("settings") {
		ticket.CustomSettings = append(ticket.CustomSettings, &ticketv1.CustomSetting{Key: key,
			SettingValue: &ticketv1.CustomSetting_ValueJson{ValueJson: "[1,2,3]"}, Attributes: attributes(fmt.Sprint("of setting ", i))})
	}
	paths := []string{"custom_settings", "app_id", "tags"}
	return &ticketv1.TicketUpdatedRequest{Ticket: ticket, Event: &ticketv1.EventMetadata{EventId: "e"},
		FieldMask:         &fieldmaskpb.FieldMask{Paths: paths[:rapid.IntRange(0, 3).Draw(t, "paths")]},
		ElementChangeMask: &fieldmaskpb.FieldMask{Paths: paths[:rapid.IntRange(1, 2).Draw(t, "changed")]}}
})

func TestElements_countsWhatIsDecoded(t *testing.T) {
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
		// A mask without paths is "", which counts as one path because paths are counted by commas.
		if mask := message.ProtoReflect().Descriptor().Fields().ByName("field_mask"); mask != nil &&
			len(message.(*ticketv1.TicketUpdatedRequest).GetFieldMask().GetPaths()) == 0 {
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

// eventsOfBatch is the list of events of a RecordTicketEventsRequest.
var eventsOfBatch = (&ticketv1.RecordTicketEventsRequest{}).ProtoReflect().Descriptor().Fields().ByName("events")

// TestEntries_areCountedEach has lists of any requests, in both forms.
func TestEntries_areCountedEach(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		batch := &ticketv1.RecordTicketEventsRequest{}
		var want []elements.Entry
		for range rapid.IntRange(0, 3).Draw(t, "events") {
			event := &ticketv1.TicketEventRequest{}
			if update, ok := anyRequest.Draw(t, "event").(*ticketv1.TicketUpdatedRequest); ok {
				if len(update.GetFieldMask().GetPaths()) == 0 {
					update.FieldMask = nil // In JSON it would be "".
				}
				event.Request = &ticketv1.TicketEventRequest_Updated{Updated: update}
			}
			batch.Events = append(batch.Events, event)
			want = append(want, elements.Entry{Bytes: proto.Size(event), Elements: inMemory(event.ProtoReflect())})
		}
		binary, err := proto.Marshal(batch)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := elements.EntriesInProto(binary, eventsOfBatch, 1000); err != nil || !slices.Equal(got, want) {
			t.Fatalf("EntriesInProto: %v, %v; want %v", got, err, want)
		}
		text, err := protojson.Marshal(batch)
		if err != nil {
			t.Fatal(err)
		}
		got, err := elements.EntriesInJSON(text, eventsOfBatch, 1000)
		if err != nil || len(got) != len(want) {
			t.Fatalf("EntriesInJSON: %v, %v; want %v in %s", got, err, want, text)
		}
		for i, entry := range got {
			form, err := protojson.Marshal(batch.Events[i])
			// White space and a comma may precede it.
			if err != nil || entry.Elements != want[i].Elements || entry.Bytes < len(form)-8 || entry.Bytes > len(form)+8 {
				t.Fatalf("EntriesInJSON: entry %d: %v, want %v and about %d bytes in %s", i, entry, want[i], len(form), text)
			}
		}
	})
}

func TestEntries_endAfterTheLimit(t *testing.T) {
	t.Parallel()
	const limit = 100
	created := func(tags int) *ticketv1.TicketEventRequest {
		return &ticketv1.TicketEventRequest{Request: &ticketv1.TicketEventRequest_Created{
			Created: &ticketv1.TicketCreatedRequest{Ticket: &ticketv1.Ticket{Tags: make([]string, tags)}}}}
	}
	many := make([]*ticketv1.TicketEventRequest, 10*limit)
	for i := range many {
		many[i] = &ticketv1.TicketEventRequest{}
	}
	for name, test := range map[string]struct {
		events []*ticketv1.TicketEventRequest
		// entries and within are the minimum numbers that are counted.
		entries, within int
	}{
		"all":            {[]*ticketv1.TicketEventRequest{created(90), created(8)}, 2, 98},
		"entries":        {many, limit + 1, 0},
		"of one":         {[]*ticketv1.TicketEventRequest{created(0), created(10 * limit), created(1)}, 2, limit - 1},
		"of several":     {[]*ticketv1.TicketEventRequest{created(60), created(60), created(60)}, 2, limit - 1},
		"after the list": {append(slices.Clone(many[:limit]), created(1)), limit + 1, 0},
	} {
		batch := &ticketv1.RecordTicketEventsRequest{Events: test.events}
		binary, err := proto.Marshal(batch)
		if err != nil {
			t.Fatal(err)
		}
		text, err := protojson.Marshal(batch)
		if err != nil {
			t.Fatal(err)
		}
		inProto, errProto := elements.EntriesInProto(binary, eventsOfBatch, limit)
		inJSON, errJSON := elements.EntriesInJSON(text, eventsOfBatch, limit)
		for form, got := range map[string][]elements.Entry{"protobuf": inProto, "JSON": inJSON} {
			within := 0
			for _, entry := range got {
				within += entry.Elements
			}
			if errProto != nil || errJSON != nil || len(got) != test.entries || within < test.within || within > limit+1 && form == "JSON" {
				t.Errorf("%s in %s: %d entries with %d elements, %v, %v; want %d with at least %d", name, form, len(got), within, errProto,
					errJSON, test.entries, test.within)
			}
		}
	}
	for _, data := range []string{"\x0a", "\x0a\x02\x0a\x05"} {
		if _, err := elements.EntriesInProto([]byte(data), eventsOfBatch, limit); err == nil {
			t.Errorf("EntriesInProto(%q) succeeds", data)
		}
	}
	if _, err := elements.EntriesInJSON([]byte(`{"events":[{]}`), eventsOfBatch, limit); err == nil {
		t.Error("EntriesInJSON of what is not JSON succeeds")
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

// FuzzInProto has any bytes: a message that can be unpacked has at most as many elements as were counted.
func FuzzInProto(f *testing.F) {
	for _, seed := range []string{"", "\x0a\x02\xff\xfe", "\x12\x06\x92\x01\x00\x92\x01\x00", "\x12\x02\x72\x00", "\x1a\x03\x0a\x01a",
		"\x0b\x0b\x0c\x0c", "\x12\x05\xba\x01\x02\x0a\x00", "\x0a\x07\x0a\x05\x1a\x03\x0a\x01a\x0a\x00"} {
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
		batch := &ticketv1.RecordTicketEventsRequest{}
		entries, err := elements.EntriesInProto(data, eventsOfBatch, elements.MaxInBatch)
		if proto.Unmarshal(data, batch) == nil {
			checkEntries(t, batch, entries, err)
		}
	})
}

// checkEntries fails if an event of a batch has more elements than were counted.
func checkEntries(t *testing.T, batch *ticketv1.RecordTicketEventsRequest, entries []elements.Entry, err error) {
	t.Helper()
	if err != nil || len(entries) != len(batch.GetEvents()) {
		t.Fatalf("counted %d events, %v; unpacked %d", len(entries), err, len(batch.GetEvents()))
	}
	for i, event := range batch.GetEvents() {
		if got := inMemory(event.ProtoReflect()); got > entries[i].Elements {
			t.Errorf("event %d: counted %d, unpacked %d", i, entries[i].Elements, got)
		}
	}
}

// FuzzInJSON is like FuzzInProto, for JSON.
func FuzzInJSON(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"ticket":{"tags":["a","b"],"tags":[],"customSettings":[{},{"attributes":{"a":"b","c":"d"}}]}}`,
		`{"field_mask":"title,tags"}`, `{"filter":{"app_ids":["\ud83e\udd76"],"statuses":[1,"TICKET_STATUS_CLOSED"]}}`, "{\"ticket\":null}",
		`{"events":[{"created":{"ticket":{"tags":["a"]}}},{},{"updated":{"fieldMask":"a,b"}}]}`,
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
		batch := &ticketv1.RecordTicketEventsRequest{}
		entries, err := elements.EntriesInJSON(bytes.Clone(data), eventsOfBatch, elements.MaxInBatch)
		if (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, batch) == nil {
			checkEntries(t, batch, entries, err)
		}
	})
}
