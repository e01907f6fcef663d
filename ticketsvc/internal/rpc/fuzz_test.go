package rpc_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
)

// marker stands for personal data. It is in stored tickets and in requests, and must be in no log and no error.
const marker = "Muster+41790000001"

// victim is a service that gets hostile requests.
type victim struct {
	handler  http.Handler
	log      *logBuffer
	database ticket.DatabaseID
}

func newVictim(t testing.TB, store ticket.Store) *victim {
	t.Helper()
	var changes []ticket.Change
	for i, id := range plantedIDs {
		for number := range 3 {
			c := ticket.Change{
				EventID: fmt.Sprintf("%d-%d", i, number), Name: ticket.Created, TicketID: id, OccurTime: tickettest.At(int64(number)),
				Values: ticket.Ticket{
					Title: marker, Description: "Frau " + marker, UnitName: marker, PhoneNumber: marker,
					AppID: marker, CategoryID: marker, PropertyID: marker, StatusText: "closed",
					CreateTime: tickettest.At(int64(i)), UpdateTime: tickettest.At(0),
					CustomSettings: []ticket.CustomSetting{{Key: marker, Kind: ticket.TextValue, Value: marker}},
					Attributes:     map[string]string{marker: `"` + marker + `"`},
				},
			}
			for field := range ticket.Fields() {
				c.Fields = c.Fields.With(field)
			}
			if i%2 == 0 {
				c.Values.AssigneeID, c.Values.StatusText = marker, marker
			}
			changes = append(changes, c)
		}
	}
	if _, err := store.Append(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
	v := &victim{log: &logBuffer{}, database: store.DatabaseID()}
	log := slog.New(slog.NewTextHandler(v.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	service := rpc.New(store, func(context.Context) error { return nil }, log)
	t.Cleanup(func() { _ = service.Close(context.Background()) })
	v.handler = service.NewServer(rpc.Security{}, log).Handler
	return v
}

// ticketMethods are the RPCs of TicketService.
var ticketMethods = ticketv1.File_allthings_ticket_v1_ticket_service_proto.Services().ByName("TicketService").Methods()

// marshal encodes a request. ok is false if that is not possible, for example for a time that JSON can't represent.
func marshal(asJSON bool, request proto.Message) (body []byte, ok bool) {
	var err error
	if asJSON {
		body, err = protojson.Marshal(request)
	} else {
		body, err = proto.Marshal(request)
	}
	return body, err == nil
}

// firstAnswer is a response writer. If the call is a stream, the first write ends the call.
type firstAnswer struct {
	status int
	header http.Header
	body   bytes.Buffer
	end    context.CancelFunc
}

func (a *firstAnswer) Header() http.Header { return a.header }

func (a *firstAnswer) WriteHeader(status int) { a.status = status }

func (a *firstAnswer) Flush() {}

func (a *firstAnswer) Write(p []byte) (int, error) {
	a.end()
	return a.body.Write(p)
}

// wireError is an error in Connect's JSON.
type wireError struct {
	Code    string
	Message string
	Details []struct{ Type, Value string }
}

// endOfStream is the flag of the message with which Connect ends a stream.
const endOfStream = 2

// call makes a call with these bytes, and returns its error, nil if there is none.
func (v *victim) call(t *testing.T, method protoreflect.MethodDescriptor, asJSON bool, body []byte) *wireError {
	t.Helper()
	codec := "proto"
	if asJSON {
		codec = "json"
	}
	// A call without a response for so long would wait forever.
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	answer := &firstAnswer{status: http.StatusOK, header: http.Header{}, end: func() {}}
	contentType := "application/" + codec
	if method.IsStreamingServer() {
		answer.end = cancel
		contentType = "application/connect+" + codec
		body = append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body))), body...)
	}
	path := fmt.Sprintf("http://localhost/%s/%s", method.Parent().FullName(), method.Name())
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", contentType)
	v.handler.ServeHTTP(answer, request)

	got := answer.body.Bytes()
	if !method.IsStreamingServer() {
		if answer.status == http.StatusOK {
			return nil
		}
		return mustUnmarshal[*wireError](t, got)
	}
	for len(got) >= 5 {
		size := int(binary.BigEndian.Uint32(got[1:5]))
		if got[0]&endOfStream != 0 {
			return mustUnmarshal[struct{ Error *wireError }](t, got[5:5+size]).Error
		}
		got = got[5+size:]
	}
	t.Errorf("%s: the stream does not say how it ended", path)
	return nil
}

func mustUnmarshal[T any](t *testing.T, data []byte) (value T) {
	t.Helper()
	if err := json.Unmarshal(data, &value); err != nil {
		t.Fatalf("%v in %q", err, data)
	}
	return value
}

// acceptable are the codes of errors that a request can cause. A successful stream is ended by the test.
var acceptable = []connect.Code{
	connect.CodeInvalidArgument, connect.CodeNotFound, connect.CodeOutOfRange, connect.CodeResourceExhausted,
}

// check makes a call. It expects a code that is not the service's fault, and no personal data in the log and the error. The error of a
// request that can be decoded and is rejected must name the wrong fields.
func (v *victim) check(t *testing.T, method protoreflect.MethodDescriptor, asJSON bool, body []byte, readable bool) {
	t.Helper()
	refused := v.call(t, method, asJSON, body)
	written := v.log.take()
	if strings.Contains(written, marker) || strings.Contains(written, "\nforged") {
		t.Errorf("%s: the log has what it must not: %q", method.Name(), written)
	}
	if refused == nil {
		return
	}
	if strings.Contains(refused.Message, marker) {
		t.Errorf("%s: the error has what it must not: %q", method.Name(), refused.Message)
	}
	var code connect.Code
	if err := code.UnmarshalText([]byte(refused.Code)); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(acceptable, code) && (!method.IsStreamingServer() || code != connect.CodeCanceled) {
		t.Errorf("%s: %s %q; log %q", method.Name(), refused.Code, refused.Message, written)
	}
	if code == connect.CodeInvalidArgument && readable {
		checkFields(t, method, refused)
	}
}

// checkFields expects the details of INVALID_ARGUMENT to name fields of the request.
func checkFields(t *testing.T, method protoreflect.MethodDescriptor, refused *wireError) {
	t.Helper()
	badRequest := &errdetails.BadRequest{}
	for _, detail := range refused.Details {
		value, err := base64.RawStdEncoding.DecodeString(detail.Value)
		if err != nil {
			t.Fatal(err)
		}
		if detail.Type != string(badRequest.ProtoReflect().Descriptor().FullName()) {
			continue
		}
		if err := proto.Unmarshal(value, badRequest); err != nil {
			t.Fatal(err)
		}
	}
	if len(badRequest.GetFieldViolations()) == 0 {
		t.Errorf("%s: %q names no field", method.Name(), refused.Message)
	}
	for _, violation := range badRequest.GetFieldViolations() {
		message := method.Input()
		for name := range strings.SplitSeq(violation.GetField(), ".") {
			var field protoreflect.FieldDescriptor
			name, _, _ = strings.Cut(name, "[") // The rest is the index in a list.
			if message != nil {
				field = message.Fields().ByName(protoreflect.Name(name))
			}
			if field == nil {
				t.Errorf("%s has no field %s", method.Name(), violation.GetField())
				break
			}
			message = field.Message()
		}
		if strings.Contains(violation.GetDescription(), marker) {
			t.Errorf("%s: the error has what it must not: %q", method.Name(), violation.GetDescription())
		}
	}
}

// erasesPlanted reports whether a request would erase a ticket that the other requests must find.
func erasesPlanted(request proto.Message) bool {
	erase, ok := request.(*ticketv1.EraseTicketRequest)
	return ok && slices.Contains(plantedIDs, erase.GetTicketId())
}

// take returns the log since the last call of take.
func (b *logBuffer) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.buffer.Reset()
	return b.buffer.String()
}

// FuzzRequest checks that any request gets a code that is its own fault, and that no personal data of it is written.
func FuzzRequest(f *testing.F) {
	v := newVictim(f, mustOpenStore(f))
	// The values of TestService_nastyValues are not repeated here.
	for method := range ticketMethods.Len() {
		for i, place := range positions[:8] {
			f.Add(uint8(method), i%2 == 0, []byte{1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1}, "a", place, int64(-1)<<i)
			f.Add(uint8(method), i%2 == 1, []byte{0, 1, 7, 1, 0, 5, 1, 2, 1, byte(i), 1, 1, 1, 1}, "b", place, int64(i))
		}
	}
	f.Fuzz(func(t *testing.T, method uint8, asJSON bool, choices []byte, a, b string, number int64) {
		called := ticketMethods.Get(int(method) % ticketMethods.Len())
		request := newRequest(t, called)
		d := drawer{choices: choices, a: strings.ToValidUTF8(a, "\ufffd"), b: strings.ToValidUTF8(b, "\ufffd"), number: number}
		d.fill(request.ProtoReflect())
		if d.choose(2) == 1 {
			v.forge(request, []byte(b))
		}
		if body, ok := marshal(asJSON, request); ok && !erasesPlanted(request) {
			v.check(t, called, asJSON, body, true)
		}
	})
}

// FuzzRequestBytes is like FuzzRequest, for arbitrary bytes.
func FuzzRequestBytes(f *testing.F) {
	v := newVictim(f, mustOpenStore(f))
	for method := range ticketMethods.Len() {
		for _, body := range []string{
			"", "{}", "[]", "null", `{"ticketId":"\ud800"}`, `{"filter":{"text":"` + marker, `{"pageSize":1e99}`, `{"pageSize":"` + marker + `"}`,
			"\x0a\x02\xff\xfe", "\x0a\x7f" + marker, "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "\x12\x02\xc3\x28",
			"\x1a\x04\x4a\x02\xff\xff", "\x0b\x0b\x0b",
		} {
			f.Add(uint8(method), true, []byte(body))
			f.Add(uint8(method), false, []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, method uint8, asJSON bool, body []byte) {
		called := ticketMethods.Get(int(method) % ticketMethods.Len())
		request := newRequest(t, called)
		if !asJSON && proto.Unmarshal(body, request) == nil && erasesPlanted(request) {
			return
		}
		if asJSON && protojson.Unmarshal(body, request) == nil && erasesPlanted(request) {
			return
		}
		v.check(t, called, asJSON, body, false)
	})
}

// TestService_nastyValues sets every string field of every RPC to every nasty value, and uses tokens for every position.
func TestService_nastyValues(t *testing.T) {
	t.Parallel()
	for engine, open := range engines {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			v := newVictim(t, open(t)[0])
			for i := range ticketMethods.Len() {
				method := ticketMethods.Get(i)
				requests := nastyRequests(t, method, nil)
				for _, place := range positions {
					request := newRequest(t, method)
					if id := request.ProtoReflect().Descriptor().Fields().ByName("ticket_id"); id != nil {
						request.ProtoReflect().Set(id, protoreflect.ValueOfString("t1"))
					}
					v.forge(request, []byte(place))
					requests = append(requests, request)
				}
				for _, request := range requests {
					for _, asJSON := range []bool{false, true} {
						if body, ok := marshal(asJSON, request); ok && !erasesPlanted(request) {
							v.check(t, method, asJSON, body, true)
						}
					}
				}
			}
		})
	}
}
