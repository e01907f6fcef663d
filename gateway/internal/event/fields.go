package event

import (
	"math/bits"
	"reflect"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/internal/ticketfields"
)

// field is a field of the provider's ticket.
type field struct {
	ticketfields.Field
	// index is the field's index in [modelled]. Negative if Ticket does not model the field.
	index int
	// goIndex is the index of the field in the Go struct [ticketv1.Ticket]. Nil if Ticket does not model the field.
	goIndex []int
}

var (
	// modelled are the fields that Ticket models, in the order of their names in the contract.
	modelled = newModelled()
	// fields are the fields of the provider's ticket, by their names there.
	fields = newFields(func(f ticketfields.Field) string { return f.Name })
	// embeddedFields are the fields for which a member of _embedded stands in, by the name of that member.
	embeddedFields = newFields(func(f ticketfields.Field) string { return f.Embedded })
	// appID is the field that is read from the event's URN.
	appID = newFields(func(f ticketfields.Field) string { return f.Contract })["app_id"]
	// undocumented stands for each field that the provider does not document.
	undocumented = &field{}
	// createTime is the field that gets the event's time if the event created the ticket and does not name the field.
	createTime = fields["createdAt"]
)

func newModelled() []string {
	var names []string
	for _, f := range ticketfields.Modelled() {
		names = append(names, f.Contract)
	}
	slices.Sort(names)
	return names
}

func newFields(key func(ticketfields.Field) string) map[string]*field {
	byKey := map[string]*field{}
	for _, row := range ticketfields.All() {
		if key(row) != "" {
			byKey[key(row)] = newField(row)
		}
	}
	return byKey
}

// newField panics if Ticket has no field for the row, or one that [field.read] can't set.
func newField(row ticketfields.Field) *field {
	f := &field{Field: row, index: slices.Index(modelled, row.Contract)}
	if row.Contract != "" {
		// The generated name of assignee_id is AssigneeId.
		goName := strings.ReplaceAll(row.Contract, "_", "")
		goField, _ := reflect.TypeFor[ticketv1.Ticket]().FieldByNameFunc(func(name string) bool { return strings.EqualFold(name, goName) })
		f.goIndex = goField.Index
		f.read(&ticketv1.Ticket{}, []byte(`""`))
	}
	return f
}

// fieldSet is a set of fields that Ticket models. Bit i is for the field modelled[i].
type fieldSet uint64

func (s *fieldSet) add(f *field)     { *s |= 1 << f.index }
func (s fieldSet) has(f *field) bool { return s&(1<<f.index) != 0 }
func (s fieldSet) len() int          { return bits.OnesCount64(uint64(s)) }

// paths returns the names of the set's fields in the contract, sorted.
func (s fieldSet) paths() []string {
	paths := make([]string, 0, s.len()+1)
	for i, name := range modelled {
		if s&(1<<i) != 0 {
			paths = append(paths, name)
		}
	}
	return paths
}

// value returns the field of a ticket.
func (f *field) value(ticket *ticketv1.Ticket) reflect.Value {
	return reflect.ValueOf(ticket).Elem().FieldByIndex(f.goIndex)
}

// read sets the field of a ticket to a value that is not null. It leaves the field empty if the field can't hold the value.
func (f *field) read(ticket *ticketv1.Ticket, value []byte) (r reading) {
	switch target := f.value(ticket).Addr().Interface().(type) {
	case *string:
		*target, r = f.readString(value)
	case *[]string:
		*target, r = readList(value, f)
	case *int32:
		*target, r = readCount(value)
	case **timestamppb.Timestamp:
		*target, r = readDate(value)
	case *[]*ticketv1.CustomSetting:
		*target, r = readCustomSettings(value)
	default:
		panic("event: no reader for the contract's field " + f.Contract)
	}
	return r
}

// readString reads a string, or an element of a list of strings.
func (f *field) readString(value []byte) (string, reading) {
	switch f.Kind {
	case ticketfields.IntegerString:
		return readIntegerString(value)
	case ticketfields.ID, ticketfields.IDs:
		return readID(value)
	case ticketfields.ObjectName:
		return readObjectName(value)
	default:
		return readString(value)
	}
}

// elements returns the number of elements of a list field in a ticket.
func (f *field) elements(ticket *ticketv1.Ticket) int {
	n := f.value(ticket).Len()
	if f.Kind == ticketfields.Settings {
		for _, setting := range ticket.CustomSettings {
			n += len(setting.Attributes)
		}
	}
	return n
}
