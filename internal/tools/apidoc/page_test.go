package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	_ "github.com/ticketbridge/ticketbridge/gen/allthings/delivery/v1"
	_ "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
)

// descriptors returns the contract as buf gives it, but without comments, save one.
func descriptors(t *testing.T, commentOfGetTicket string) []byte {
	t.Helper()
	set := &descriptorpb.FileDescriptorSet{}
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		copied := protodesc.ToFileDescriptorProto(file)
		if file.Path() == "allthings/ticket/v1/ticket_service.proto" {
			ofGetTicket := &descriptorpb.SourceCodeInfo_Location{
				Path: []int32{6, 0, 2, 0}, // the first service's first RPC
				Span: []int32{1, 1, 1}, LeadingComments: &commentOfGetTicket,
			}
			copied.SourceCodeInfo = &descriptorpb.SourceCodeInfo{Location: []*descriptorpb.SourceCodeInfo_Location{ofGetTicket}}
		}
		set.File = append(set.File, copied)
		return true
	})
	data, err := proto.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestACommentBecomesParagraphsWithLinks(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ comment, want string }{
		"lines are joined":  {" One\n two.\n\n Three.\n", "\nOne two.\n\nThree.\n"},
		"itself is no link": {" GetTicket is `GetTicket`.\n", "\nGetTicket is `GetTicket`.\n"},
		"an RPC and a type": {" As ListTickets, of TicketFilter.\n",
			"\nAs [ListTickets](#listtickets), of [TicketFilter](#ticketfilter).\n"},
		"a field": {" Ticket.status_text is `Ticket.title`.\n",
			"\n[Ticket.status_text](#ticket) is [Ticket.title](#ticket).\n"},
		"an English word is none":       {" Ticket by ticket.\n", "\nTicket by ticket.\n"},
		"a word in capitals":            {" HEIZKÖRPER or ABORTED.\n", "\nHEIZKÖRPER or `ABORTED`.\n"},
		"codes and names of fields":     {" NOT_FOUND or ABORTED: ticket_id of JSON.\n", "\n`NOT_FOUND` or `ABORTED`: `ticket_id` of JSON.\n"},
		"nothing is taken for Markdown": {" <b> 2 * 3 * 4 `<b>`\n", "\n&lt;b> 2 \\* 3 \\* 4 `<b>`\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "api.md")
			if err := run([]string{path}, strings.NewReader(string(descriptors(t, test.comment)))); err != nil {
				t.Fatal(err)
			}
			written, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			_, rest, _ := strings.Cut(string(written), "TicketService/GetTicket` · only reads; Connect clients may send it as a `GET`\n")
			if got, _, _ := strings.Cut(rest, "\n####"); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestWhatCannotBeReadLeavesThePageAsItIs(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "api.md")
	for name, input := range map[string]string{"no descriptors": "", "no protobuf": "Max"} {
		if err := run([]string{path}, strings.NewReader(input)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the page was written: %v", err)
	}
}
