// Command ticketgen generates ticketsvc's code for the fields of a ticket: ticket.Ticket, the table of the fields that events can set, and
// the conversion to and from the contract's message Ticket. Its inputs are package ticketfields and, on standard input, the contract: a
// binary FileDescriptorSet with source information, as `buf build -o - --as-file-descriptor-set` writes it.
//
//	ticketgen <folder of the repository>
package main

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"go/format"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/ticketbridge/ticketbridge/internal/ticketfields"
)

//go:embed files.tmpl
var files string

func main() {
	if err := run(os.Args[1:], os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "ticketgen:", err)
		os.Exit(1)
	}
}

func run(args []string, stdin io.Reader) error {
	if len(args) != 1 {
		return errors.New("one argument is needed: the folder of the repository")
	}
	data, err := io.ReadAll(stdin)
	if err != nil {
		return err
	}
	set := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(data, set); err != nil {
		return err
	}
	contract, err := protodesc.NewFiles(set)
	if err != nil {
		return err
	}
	sources, err := generate(contract)
	if err != nil {
		return err
	}
	for name, source := range sources {
		if err := os.WriteFile(filepath.Join(args[0], filepath.FromSlash(name)), source, 0o666); err != nil {
			return err
		}
	}
	return nil
}

// generate returns the files to write, by their paths in the repository.
func generate(contract *protoregistry.Files) (map[string][]byte, error) {
	descriptor, err := contract.FindDescriptorByName("allthings.ticket.v1.Ticket")
	if err != nil {
		return nil, err
	}
	all, settable, err := fieldsOf(descriptor.(protoreflect.MessageDescriptor))
	if err != nil {
		return nil, err
	}
	templates, err := template.New("").Parse(files)
	if err != nil {
		return nil, err
	}
	sources := map[string][]byte{}
	for _, t := range templates.Templates() {
		if !strings.HasSuffix(t.Name(), ".go") {
			continue
		}
		var b bytes.Buffer
		if err := t.Execute(&b, map[string][]field{"All": all, "Settable": settable}); err != nil {
			return nil, err
		}
		if sources[t.Name()], err = format.Source(b.Bytes()); err != nil {
			return nil, err
		}
	}
	return sources, nil
}

// field is a field of a ticket, as the templates need it.
type field struct {
	// Contract is the name in the contract, Message is the name in the Go code of the message, and Go is the name in ticket.Ticket.
	Contract, Message, Go string
	// Comment is the first paragraph of the contract's comment, as a comment of Go.
	Comment string
	conversion
	// Attribute and HoldsIDs are from package ticketfields. HoldsIDs is set if the field holds ids.
	Attribute string
	HoldsIDs  bool
}

// Constant returns the name in package ticket of the constant for the field.
func (f field) Constant() string { return strings.ToLower(f.Go[:1]) + f.Go[1:] + "Field" }

// conversion describes the conversion of a type of the contract to a type of ticket.Ticket.
type conversion struct {
	// Type is the type in package ticket. To converts from the message's value, and From converts to it. Both are empty if the types are the
	// same.
	Type, To, From string
}

// conversions has the conversion of each type of the contract.
var conversions = map[string]conversion{
	"string":                           {Type: "string"},
	"int32":                            {Type: "int32"},
	"int64":                            {Type: "int64"},
	"bool":                             {Type: "bool"},
	"repeated string":                  {Type: "[]string"},
	"map<string, string>":              {Type: "map[string]string"},
	"google.protobuf.Timestamp":        {"Instant", "ToInstant", "FromInstant"},
	"allthings.ticket.v1.TicketStatus": {"Status", "ticket.Status", "ticketv1.TicketStatus"},
	"repeated allthings.ticket.v1.CustomSetting": {"[]CustomSetting", "toCustomSettings", "fromCustomSettings"},
}

// fieldsOf returns all fields of the message, and the fields that events can set.
func fieldsOf(message protoreflect.MessageDescriptor) (all, settable []field, err error) {
	rows := map[string]ticketfields.Field{}
	for _, row := range ticketfields.Modelled() {
		rows[row.Contract] = row
	}
	for i := range message.Fields().Len() {
		descriptor := message.Fields().Get(i)
		name := string(descriptor.Name())
		row, isSettable := rows[name]
		f := field{
			Contract: name, Message: goName(name, "Id", "Ids"), Go: goName(name, "ID", "IDs"), Comment: comment(descriptor),
			conversion: conversions[typeOf(descriptor)],
			Attribute:  row.Attribute(), HoldsIDs: row.Kind == ticketfields.ID || row.Kind == ticketfields.IDs,
		}
		if f.Type == "" {
			return nil, nil, fmt.Errorf("field %s is of the type %s, which is not in conversions: add it", name, typeOf(descriptor))
		}
		if name == "ticket_id" {
			f.Go = "ID"
		}
		all = append(all, f)
		if isSettable {
			settable = append(settable, f)
		}
	}
	return all, settable, nil
}

// goName returns the name in Go of a field of the contract. It writes the words id and ids as given.
func goName(contract, id, ids string) string {
	var name strings.Builder
	for word := range strings.SplitSeq(contract, "_") {
		switch word {
		case "id":
			name.WriteString(id)
		case "ids":
			name.WriteString(ids)
		default:
			name.WriteString(strings.ToUpper(word[:1]) + word[1:])
		}
	}
	return name.String()
}

func typeOf(f protoreflect.FieldDescriptor) string {
	name := f.Kind().String()
	switch {
	case f.IsMap():
		return fmt.Sprintf("map<%s, %s>", typeOf(f.MapKey()), typeOf(f.MapValue()))
	case f.Message() != nil:
		name = string(f.Message().FullName())
	case f.Enum() != nil:
		name = string(f.Enum().FullName())
	}
	if f.IsList() {
		name = "repeated " + name
	}
	return name
}

// comment returns the first paragraph of the comment in the contract.
func comment(f protoreflect.FieldDescriptor) string {
	paragraph, _, _ := strings.Cut(f.ParentFile().SourceLocations().ByDescriptor(f).LeadingComments, "\n\n")
	return "// " + strings.Join(strings.Split(strings.TrimSpace(paragraph), "\n "), "\n// ")
}
