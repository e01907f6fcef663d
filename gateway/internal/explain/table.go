package explain

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
)

// maxShown is the maximum number of characters of a value in a table.
const maxShown = 72

// WriteTables writes reports for people: for each body a summary, a table of the ticket's fields, and one of the values in another form.
func WriteTables(w io.Writer, reports []Report) error {
	var out strings.Builder
	for i := range reports {
		if i > 0 {
			out.WriteByte('\n')
		}
		reports[i].writeTo(&out)
	}
	_, err := io.WriteString(w, out.String())
	return err
}

func (r *Report) writeTo(out *strings.Builder) {
	fmt.Fprintf(out, "%s: %s", printable(r.File), r.Outcome)
	if r.Reason != "" {
		fmt.Fprintf(out, ": %s", r.Reason)
	}
	if kept := r.kept(); kept > 0 {
		fmt.Fprintf(out, "; values that do not fit their field: %d", kept)
	}
	out.WriteString("\n\n")
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(cells ...string) {
		if len(cells) > 0 {
			_, _ = fmt.Fprint(table, "  ", strings.Join(cells, "\t"))
		}
		_, _ = fmt.Fprintln(table)
	}

	row("answer", fmt.Sprintf("%d %s", r.Status, r.Message))
	if r.EventID != "" {
		row("event", strings.TrimSpace(printable(r.EventName)+" "+printable(r.EventID)))
	}
	if r.TicketID != "" {
		row("ticket", strings.TrimSpace(printable(r.TicketID)+from(r.TicketIDSource)))
	}
	if r.message != nil {
		row("time", formatTime(r.message.GetEvent().GetOccurTime()))
		row("call", r.Procedure+": "+r.completeness())
		writeFields(r.message.GetTicket(), r.message.GetFieldMask().GetPaths(), row)
	}
	if len(r.Forms) > 0 {
		row()
		row("OTHER FORM", "IS", "RESULT")
		for _, f := range r.Forms {
			row(f.Field, f.Form, f.result())
		}
	}
	_ = table.Flush() // to a strings.Builder, which can't fail
}

func from(source string) string {
	if source == "" {
		return ""
	}
	return " (from " + source + ")"
}

// kept returns the number of values that do not fit their field.
func (r *Report) kept() int {
	kept := 0
	for _, f := range r.Forms {
		if f.Kept {
			kept++
		}
	}
	return kept
}

// completeness describes the effect of the call on the completeness of the ticket.
func (r *Report) completeness() string {
	if changes := r.message.GetElementChangeMask().GetPaths(); len(changes) > 0 {
		return "incomplete until a later event has all of " + strings.Join(changes, ", ")
	}
	if updated, ok := r.message.(*ticketv1.TicketUpdatedRequest); ok && !updated.GetFullSnapshot() {
		return "changes only"
	}
	return "the whole ticket"
}

func (f Form) result() string {
	if f.Kept {
		return "kept as JSON in attributes"
	}
	return "read"
}

// writeFields writes the fields of a ticket that are in named, in the order of the contract, then the attributes.
func writeFields(ticket *ticketv1.Ticket, named []string, row func(...string)) {
	message := ticket.ProtoReflect()
	fields := message.Descriptor().Fields()
	row()
	row("FIELD", "VALUE")
	for i := range fields.Len() {
		field := fields.Get(i)
		if name := string(field.Name()); name != "attributes" && slices.Contains(named, name) {
			row(name, fieldValue(message, field))
		}
	}
	attributes := ticket.GetAttributes()
	if len(attributes) == 0 {
		return
	}
	row()
	row("ATTRIBUTE", "JSON")
	for _, key := range slices.Sorted(maps.Keys(attributes)) {
		row(printable(key), truncate(printable(compact(attributes[key]))))
	}
}

// fieldValue returns a field's value for people.
func fieldValue(message protoreflect.Message, field protoreflect.FieldDescriptor) string {
	if !message.Has(field) && field.Kind() != protoreflect.Int32Kind {
		return "(empty)"
	}
	switch value := message.Get(field).Interface().(type) {
	case protoreflect.List:
		elements := make([]string, value.Len())
		for i := range elements {
			elements[i] = element(value.Get(i))
		}
		return truncate(strings.Join(elements, ", "))
	case protoreflect.Message:
		return formatTime(value.Interface().(*timestamppb.Timestamp))
	case string:
		return truncate(fmt.Sprintf("%q", value))
	default:
		return fmt.Sprint(value)
	}
}

func element(value protoreflect.Value) string {
	message, ok := value.Interface().(protoreflect.Message)
	if !ok {
		return fmt.Sprintf("%q", value.String())
	}
	setting := message.Interface().(*ticketv1.CustomSetting)
	if setting.GetValueJson() != "" {
		return fmt.Sprintf("%s=%s", printable(setting.GetKey()), printable(setting.GetValueJson()))
	}
	return fmt.Sprintf("%s=%q", printable(setting.GetKey()), setting.GetValue())
}

func formatTime(t *timestamppb.Timestamp) string { return t.AsTime().UTC().Format(time.RFC3339Nano) }

// compact returns JSON without the white space between its parts. Forwarded JSON has it.
func compact(text string) string {
	var out bytes.Buffer
	if err := json.Compact(&out, []byte(text)); err != nil {
		return text
	}
	return out.String()
}

// printable returns text unchanged, or quoted if it has a character that a terminal acts on or does not show.
func printable(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fmt.Sprintf("%q", text)
	}
	return text
}

// truncate shortens text to the maximum length in a table.
func truncate(text string) string {
	if utf8.RuneCountInString(text) <= maxShown {
		return text
	}
	return fmt.Sprintf("%s… (%d bytes)", string([]rune(text)[:maxShown]), len(text))
}
