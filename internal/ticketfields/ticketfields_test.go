package ticketfields_test

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/internal/ticketfields"
)

// notSetByEvents are the fields of Ticket that an event doesn't set by itself.
var notSetByEvents = []protoreflect.Name{"ticket_id", "status", "attributes", "revision", "complete"}

// types has the type that each kind has in the contract.
var types = map[ticketfields.Kind]string{
	ticketfields.String:        "string",
	ticketfields.IntegerString: "string",
	ticketfields.ID:            "string",
	ticketfields.ObjectName:    "string",
	ticketfields.Count:         "int32",
	ticketfields.Date:          "google.protobuf.Timestamp",
	ticketfields.Strings:       "repeated string",
	ticketfields.IDs:           "repeated string",
	ticketfields.Settings:      "repeated allthings.ticket.v1.CustomSetting",
}

func typeOf(f protoreflect.FieldDescriptor) string {
	name := f.Kind().String()
	if m := f.Message(); m != nil {
		name = string(m.FullName())
	}
	if f.IsList() {
		name = "repeated " + name
	}
	return name
}

// A new field of the contract without a row fails here. Without this test its values would be missing.
func TestModelled_hasEveryFieldOfTheContract(t *testing.T) {
	t.Parallel()
	modelled := ticketfields.Modelled()
	fields := (&ticketv1.Ticket{}).ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if slices.Contains(notSetByEvents, field.Name()) {
			continue
		}
		if len(modelled) == 0 || modelled[0].Contract != string(field.Name()) {
			t.Fatalf("the contract's field %s has no row at its position in the table", field.Name())
		}
		if got, want := typeOf(field), types[modelled[0].Kind]; got != want {
			t.Errorf("%s is of the type %s in the contract; its kind is for %q", field.Name(), got, want)
		}
		modelled = modelled[1:]
	}
	for _, f := range modelled {
		t.Errorf("the contract has no field %s, or has it at another position", f.Contract)
	}
}

func TestAll_namesAreUnique(t *testing.T) {
	t.Parallel()
	type use struct{ of, name string }
	seen := map[use]bool{}
	for _, f := range ticketfields.All() {
		for _, u := range []use{{"name", f.Name}, {"attribute", f.Attribute()}, {"_embedded", f.Embedded}, {"contract", f.Contract}} {
			if u.name != "" && seen[u] {
				t.Errorf("two rows have the %s %s", u.of, u.name)
			}
			seen[u] = true
		}
		if (f.Contract == "") != (f.Kind == ticketfields.Scalar || f.Kind == ticketfields.Paths) {
			t.Errorf("%s: Scalar and Paths are the kinds of the fields that Ticket does not model, and of no others", f.Name)
		}
	}
}
