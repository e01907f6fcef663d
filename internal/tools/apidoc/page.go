package main

import (
	"cmp"
	_ "embed"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// services are those that the page documents, in its order: first those that most readers come for.
var services = []protoreflect.FullName{
	"allthings.ticket.v1.TicketService",
	"allthings.ticket.v1.TicketEventService",
	"allthings.delivery.v1.DeliveryService",
}

// contract is how the names begin of what the page documents.
const contract = "allthings."

// introduction is how the page begins.
//
//go:embed introduction.md
var introduction string

// wellKnown is where the types are described that the contract takes from protobuf.
const wellKnown = "https://protobuf.dev/reference/protobuf/google.protobuf/#"

// writer writes the page.
type writer struct {
	strings.Builder
	// anchors are the headings' ids on the page, by the names of what they are about.
	anchors map[protoreflect.FullName]string
	// links are the anchors by the words that a comment says them with.
	links map[string]string
	// inline are the messages that are documented with the RPC whose request or response they are.
	inline map[protoreflect.FullName]bool
}

// page returns the documentation of the services, and of all that their packages declare.
func page(files *protoregistry.Files) (string, error) {
	w := &writer{anchors: map[protoreflect.FullName]string{}, links: map[string]string{}, inline: map[protoreflect.FullName]bool{}}
	var documented []protoreflect.ServiceDescriptor
	for _, name := range services {
		descriptor, err := files.FindDescriptorByName(name)
		if err != nil {
			return "", fmt.Errorf("service %s: %w", name, err)
		}
		documented = append(documented, descriptor.(protoreflect.ServiceDescriptor))
	}
	types := typesOf(files)
	if err := w.index(documented, types); err != nil {
		return "", err
	}

	w.WriteString(introduction)
	w.WriteString("\n| service | RPCs |\n|---|---|\n")
	for _, service := range documented {
		var rpcs []string
		for method := range each(service.Methods()) {
			rpcs = append(rpcs, w.link(method))
		}
		w.row(w.link(service), strings.Join(rpcs, ", "))
	}
	for _, service := range documented {
		w.service(service)
	}
	w.WriteString("\n## Types\n")
	for _, descriptor := range types {
		if !w.inline[descriptor.FullName()] {
			w.heading(3, descriptor)
			w.paragraphs(descriptor, comment(descriptor))
			w.table(descriptor)
		}
	}
	return w.String(), nil
}

// typesOf returns the contract's messages and enums, in the order of their packages in services, files and declarations.
func typesOf(files *protoregistry.Files) (types []protoreflect.Descriptor) {
	var own []protoreflect.FileDescriptor
	files.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		if strings.HasPrefix(string(file.Package()), contract) {
			own = append(own, file)
		}
		return true
	})
	place := func(file protoreflect.FileDescriptor) int {
		return slices.IndexFunc(services, func(service protoreflect.FullName) bool { return service.Parent() == file.Package() })
	}
	slices.SortFunc(own, func(a, b protoreflect.FileDescriptor) int {
		return cmp.Or(cmp.Compare(place(a), place(b)), cmp.Compare(a.Path(), b.Path()))
	})
	for _, file := range own {
		for message := range each(file.Messages()) {
			types = append(types, message)
			for nested := range each(message.Enums()) {
				types = append(types, nested)
			}
		}
		for enum := range each(file.Enums()) {
			types = append(types, enum)
		}
	}
	return types
}

// list is how descriptors hold what they declare.
type list[D any] interface {
	Len() int
	Get(int) D
}

func each[D any](all list[D]) func(yield func(D) bool) {
	return func(yield func(D) bool) {
		for i := range all.Len() {
			if !yield(all.Get(i)) {
				return
			}
		}
	}
}

// index gives everything that has a heading its anchor, and finds the requests and responses.
func (w *writer) index(documented []protoreflect.ServiceDescriptor, types []protoreflect.Descriptor) error {
	names := map[string]protoreflect.FullName{}
	add := func(descriptor protoreflect.Descriptor) error {
		anchor := strings.ToLower(strings.ReplaceAll(title(descriptor), ".", ""))
		if other, taken := names[anchor]; taken {
			return fmt.Errorf("%s and %s would have the same heading", other, descriptor.FullName())
		}
		names[anchor] = descriptor.FullName()
		w.anchors[descriptor.FullName()] = anchor
		w.links[title(descriptor)] = anchor
		return nil
	}
	for _, service := range documented {
		if err := add(service); err != nil {
			return err
		}
		for method := range each(service.Methods()) {
			if err := add(method); err != nil {
				return err
			}
			w.inline[method.Input().FullName()] = true
			w.inline[method.Output().FullName()] = true
		}
	}
	for _, descriptor := range types {
		if err := add(descriptor); err != nil {
			return err
		}
		if message, ok := descriptor.(protoreflect.MessageDescriptor); ok {
			for field := range each(message.Fields()) {
				w.links[title(message)+"."+string(field.Name())] = w.anchors[message.FullName()]
			}
		}
	}
	return nil
}

// title returns a name as headings have it: with that of the message around it.
func title(descriptor protoreflect.Descriptor) string {
	if parent, ok := descriptor.Parent().(protoreflect.MessageDescriptor); ok {
		return string(parent.Name()) + "." + string(descriptor.Name())
	}
	return string(descriptor.Name())
}

func (w *writer) printf(format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }

func (w *writer) heading(level int, descriptor protoreflect.Descriptor) {
	w.printf("\n%s %s\n", strings.Repeat("#", level), title(descriptor))
}

func (w *writer) row(cells ...string) { w.printf("| %s |\n", strings.Join(cells, " | ")) }

func (w *writer) link(descriptor protoreflect.Descriptor) string {
	return fmt.Sprintf("[%s](#%s)", title(descriptor), w.anchors[descriptor.FullName()])
}

func (w *writer) service(service protoreflect.ServiceDescriptor) {
	w.heading(2, service)
	w.paragraphs(service, comment(service))
	for method := range each(service.Methods()) {
		w.heading(3, method)
		w.printf("\n`/%s/%s`%s\n", service.FullName(), method.Name(), facts(method))
		w.paragraphs(method, comment(method))
		w.message(method.Input())
		w.message(method.Output())
	}
}

// facts says what the declaration of an RPC says beside its comment.
func facts(method protoreflect.MethodDescriptor) string {
	text := ""
	if method.IsStreamingServer() {
		text += " · answers with a stream"
	}
	switch method.Options().(*descriptorpb.MethodOptions).GetIdempotencyLevel() {
	case descriptorpb.MethodOptions_NO_SIDE_EFFECTS:
		text += " · only reads; Connect clients may send it as a `GET`"
	case descriptorpb.MethodOptions_IDEMPOTENT:
		text += " · idempotent"
	}
	return text
}

// ofRPC is the sentence that says of a message just that it belongs to its RPC.
var ofRPC = regexp.MustCompile(`^\w+ is the (request|response) of \w+\.\s*`)

// message writes the request or response of an RPC.
func (w *writer) message(message protoreflect.MessageDescriptor) {
	w.heading(4, message)
	w.paragraphs(message, ofRPC.ReplaceAllString(comment(message), ""))
	if message.Fields().Len() == 0 {
		w.WriteString("\nNo fields.\n")
		return
	}
	w.table(message)
}

// table writes the fields of a message, or the values of an enum.
func (w *writer) table(descriptor protoreflect.Descriptor) {
	switch d := descriptor.(type) {
	case protoreflect.MessageDescriptor:
		w.WriteString("\n| field | type | |\n|---|---|---|\n")
		for field := range each(d.Fields()) {
			meaning := w.cell(d, comment(field))
			if oneof := field.ContainingOneof(); oneof != nil {
				others := slices.DeleteFunc(names(oneof.Fields()), func(name string) bool { return name == string(field.Name()) })
				meaning += fmt.Sprintf("<br>Not together with `%s`.", strings.Join(others, "` or `"))
			}
			w.row("`"+string(field.Name())+"`", w.typeOf(field), meaning)
		}
	case protoreflect.EnumDescriptor:
		w.WriteString("\n| value | number | |\n|---|---|---|\n")
		for value := range each(d.Values()) {
			w.row("`"+string(value.Name())+"`", fmt.Sprint(value.Number()), w.cell(d, comment(value)))
		}
	}
}

func names(fields protoreflect.FieldDescriptors) (all []string) {
	for field := range each(fields) {
		all = append(all, string(field.Name()))
	}
	return all
}

// typeOf returns what a field holds, in words, with links to the types of messages and enums.
func (w *writer) typeOf(field protoreflect.FieldDescriptor) string {
	switch {
	case field.IsMap():
		return fmt.Sprintf("map of %s to %s", w.typeOf(field.MapKey()), w.typeOf(field.MapValue()))
	case field.IsList():
		return "list of " + w.single(field)
	default:
		return w.single(field)
	}
}

func (w *writer) single(field protoreflect.FieldDescriptor) string {
	var named protoreflect.Descriptor
	switch field.Kind() {
	case protoreflect.MessageKind:
		named = field.Message()
	case protoreflect.EnumKind:
		named = field.Enum()
	default:
		return field.Kind().String()
	}
	if w.anchors[named.FullName()] != "" {
		return w.link(named)
	}
	return fmt.Sprintf("[%s](%s%s)", named.Name(), wellKnown, kebab(string(named.Name())))
}

var upper = regexp.MustCompile(`(.)([A-Z])`)

// kebab writes a name as protobuf's reference has it in its anchors: FieldMask as field-mask.
func kebab(name string) string { return strings.ToLower(upper.ReplaceAllString(name, "$1-$2")) }

// comment returns the text that stands before a declaration, with a paragraph in each line.
func comment(descriptor protoreflect.Descriptor) string {
	location := descriptor.ParentFile().SourceLocations().ByDescriptor(descriptor)
	var paragraphs []string
	for paragraph := range strings.SplitSeq(strings.TrimSpace(location.LeadingComments), "\n\n") {
		paragraphs = append(paragraphs, strings.Join(strings.Fields(paragraph), " "))
	}
	return strings.Join(paragraphs, "\n")
}

// paragraphs writes a comment of what has a heading.
func (w *writer) paragraphs(about protoreflect.Descriptor, text string) {
	for paragraph := range strings.SplitSeq(text, "\n") {
		if paragraph != "" {
			w.printf("\n%s\n", w.linked(about, paragraph))
		}
	}
}

// cell returns a comment as a table's cell.
func (w *writer) cell(about protoreflect.Descriptor, text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(w.linked(about, text), "|", `\|`), "\n", "<br>")
}

// words are pieces in backquotes, and those that can be names of what has a heading.
var words = regexp.MustCompile("`[^`]*`|[\\pL_][\\pL_0-9]*(\\.[\\pL_][\\pL_0-9]*)?")

// severalWords is a name that can't be an English word that begins a sentence, such as Ticket.
var severalWords = regexp.MustCompile(`[a-z][A-Z]|\.`)

// identifiers are error codes, and names of fields and of an enum's values.
var identifiers = regexp.MustCompile(`^[A-Z]{5,}$|_`)

// linked returns a comment with links to what it names, but for what it is about, and with codes and names of fields marked as such.
func (w *writer) linked(about protoreflect.Descriptor, text string) string {
	return words.ReplaceAllStringFunc(strings.NewReplacer("<", "&lt;", "*", `\*`).Replace(text), func(word string) string {
		name := strings.Trim(word, "`")
		quoted := "`" + strings.ReplaceAll(name, "&lt;", "<") + "`"
		anchor, known := w.links[name]
		switch {
		case known && severalWords.MatchString(name) && anchor != w.anchors[about.FullName()]:
			return fmt.Sprintf("[%s](#%s)", name, anchor)
		case word != name, identifiers.MatchString(name), known && strings.Contains(name, "."):
			return quoted
		default:
			return word
		}
	})
}
