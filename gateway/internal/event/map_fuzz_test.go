package event_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/ticketbridge/ticketbridge/gateway/internal/event"
	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
)

func FuzzMap(f *testing.F) {
	paths, err := filepath.Glob("../../../internal/testkit/samples/*.json")
	if err != nil || len(paths) == 0 {
		f.Fatalf("no corpus: %v", err)
	}
	for _, path := range paths {
		body, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	for _, data := range []string{
		`{"id":"t1","delta":{"title":{"old":"a","new":"\ud800"},"x":{"before":1,"after":[2]},"labels":{"removed":[]},"read":[true,false]}}`,
		`{"ticket":{"id":7,"title":"a","token":"s","_embedded":{"unit":{"name":"\udc00"}}},"\ud800":1,"delta":{"_embedded":{"old":1,"new":{}}}}`,
		`{"id":"t1","_embedded":{"createdBy":{"id":7},"labels":[{"id":"\ud800"}],"files":["f"],"token":"s"},"commentCount":"7"}`,
		`{"id":"t1","delta":{"labels":{"removed":["a"],"added":[]},"tags":[[],["x"]],"customSettings":{"removed":{"a":1}}}}`,
		`{"id":"t1","delta":[{"op":"add","path":"/tags/-","value":"a"},{"field":"title","old":"a","new":1},{"field":"token","new":"s"},7]}`,
		`{"id":{"$oid":"t1"},"delta":{"customSettings":[[],{"a":"b"}],"updatedAt":{"date":"2026-03-02 08:00:00","timezone":"UTC"}}}`,
		`{"id":"t1","customSettings":[{"key":"k","type":null,"value":{"a":1},"token":"s","x":1}],"createdAt":"2026-03-02T07:15:30+0000"}`,
	} {
		f.Add(bodyWith("ticket.updated", data))
		f.Add(bodyWith("ticket.created", data))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		body = event.Redact(body)
		request, err := event.Map(body, receiveTime, tolerance)
		if err != nil {
			if _, ok := errors.AsType[*event.Error](err); !ok {
				t.Fatalf("error of type %T", err)
			}
			return
		}
		if (request.Created == nil) == (request.Updated == nil) {
			t.Fatal("not exactly one request")
		}
		message := messageOf(request)
		if _, err := proto.Marshal(message); err != nil {
			t.Fatalf("Marshal: %v", err)
		}
		if _, err := protojson.Marshal(message); err != nil {
			t.Fatalf("Marshal as JSON: %v", err)
		}
		if again, err := event.Map(body, receiveTime, tolerance); err != nil || !proto.Equal(message, messageOf(again)) {
			t.Fatalf("another request the second time: %v", err)
		}
		if request.Created != nil {
			checkRequest(t, request.Created.GetTicket(), request.Created.GetFieldMask(), request.Created.GetElementChangeMask())
		} else {
			checkRequest(t, request.Updated.GetTicket(), request.Updated.GetFieldMask(), request.Updated.GetElementChangeMask())
		}
	})
}

// checkRequest fails the test if the contract does not allow the ticket with these masks.
func checkRequest(t *testing.T, ticket *ticketv1.Ticket, mask, elementChanges *fieldmaskpb.FieldMask) {
	t.Helper()
	paths := mask.GetPaths()
	for _, path := range elementChanges.GetPaths() {
		key := map[string]string{"channels": "channels", "label_ids": "labels", "tags": "tags", "file_ids": "files",
			"custom_settings": "customSettings"}[path]
		message := ticket.ProtoReflect()
		if key == "" || ticket.GetAttributes()[key] == "" || !slices.Contains(paths, path) ||
			message.Has(message.Descriptor().Fields().ByName(protoreflect.Name(path))) {
			t.Fatalf("element_change_mask %v of %v", elementChanges.GetPaths(), ticket)
		}
	}
	if !mask.IsValid(ticket) || !slices.IsSorted(paths) || len(slices.Compact(slices.Clone(paths))) != len(paths) {
		t.Fatalf("mask %v", paths)
	}
	for _, forbidden := range []string{"ticket_id", "status", "revision", "complete"} {
		if slices.Contains(paths, forbidden) {
			t.Fatalf("mask %v", paths)
		}
	}
	if ticket.GetTicketId() == "" || ticket.GetStatus() != ticketv1.TicketStatus_TICKET_STATUS_UNSPECIFIED {
		t.Fatalf("ticket %v", ticket)
	}
	if slices.Contains(paths, "attributes") != (len(ticket.GetAttributes()) > 0) {
		t.Fatalf("mask %v for %d attributes", paths, len(ticket.GetAttributes()))
	}
	attributes := []map[string]string{ticket.GetAttributes()}
	for _, setting := range ticket.GetCustomSettings() {
		attributes = append(attributes, setting.GetAttributes())
	}
	for _, attributes := range attributes {
		for name, text := range attributes {
			if name == "token" || name == "_embedded.token" {
				t.Fatal("a token was kept")
			}
			if redacted := event.Redact([]byte(text)); string(redacted) != text {
				t.Fatal("a token was kept within a value")
			}
		}
	}
	unnamed := proto.CloneOf(ticket).ProtoReflect()
	for _, path := range append(slices.Clone(paths), "ticket_id") {
		unnamed.Clear(unnamed.Descriptor().Fields().ByName(protoreflect.Name(path)))
	}
	if !proto.Equal(unnamed.Interface(), &ticketv1.Ticket{}) {
		t.Fatalf("fields that the mask %v does not name: %v", paths, unnamed.Interface())
	}
}
