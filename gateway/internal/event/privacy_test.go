package event_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/ticketbridge/ticketbridge/gateway/internal/event"
)

// privateUser is a user as _embedded has it. Every string in it except the id contains "private".
const privateUser = `{"id":"u1","email":"private@example.test","username":"private","phoneNumber":"private",` +
	`"locale":"private","token":"private"}`

func TestMap_dropsUsers(t *testing.T) {
	t.Parallel()
	embedded := `{"createdBy":` + privateUser + `,"assignedTo":` + privateUser + `,"property":{"id":"p1","name":"private"},` +
		`"unit":{"id":"private","name":"3.02"},"labels":[{"id":"l1","name":{"de":"private"}}]}`
	for name, data := range map[string]string{
		"in _embedded":                `{"id":"t1","_embedded":` + embedded + `}`,
		"in _embedded, named already": `{"id":"t1","assignedTo":"u1","createdBy":"u1","labels":[],"_embedded":` + embedded + `}`,
		"in the delta's _embedded":    `{"id":"t1","delta":{"_embedded":` + embedded + `}}`,
		"in a changed _embedded":      `{"id":"t1","delta":{"_embedded":{"old":` + embedded + `,"new":` + embedded + `}}}`,
		"changed in _embedded": `{"id":"t1","delta":{"_embedded":{"assignedTo":{"old":` + privateUser + `,"new":` + privateUser + `},` +
			`"createdBy":[` + privateUser + `,` + privateUser + `]}}}`,
		"in data.ticket":        `{"ticket":{"id":"t1","assignedTo":` + privateUser + `,"_embedded":` + embedded + `}}`,
		"in place of their id":  `{"id":"t1","assignedTo":` + privateUser + `,"createdBy":` + privateUser + `}`,
		"in the delta":          `{"id":"t1","delta":{"assignedTo":` + privateUser + `,"createdBy":` + privateUser + `}}`,
		"changed in the delta":  `{"id":"t1","delta":{"assignedTo":{"from":` + privateUser + `,"to":null}}}`,
		"with an id of no text": `{"id":"t1","_embedded":{"createdBy":` + strings.Replace(privateUser, "u1", `\ud800`, 1) + `}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if wire := mustMarshal(t, mustEvent(t, bodyWith("ticket.updated", data))); bytes.Contains(wire, []byte("private")) {
				t.Errorf("private data in %q", wire)
			}
		})
	}
}

func TestMap_corpusKeepsNoUserData(t *testing.T) {
	t.Parallel()
	wire := mustMarshal(t, mustEvent(t, mustReadCorpus(t, "created-full.json")))
	for _, private := range []string{"mara@example.test", "Mara", "locale", "Sunrise Towers", "Urgent"} {
		if bytes.Contains(wire, []byte(private)) {
			t.Errorf("%q is in the request", private)
		}
	}
}

func TestMap_findingsAndErrorsNeverQuoteTheBody(t *testing.T) {
	t.Parallel()
	for _, data := range []string{
		`{"id":"t1","title":["secret"],"secret":{"secret":1}}`,
		`{"id":"t1","createdAt":"secret","updatedAt":{"date":"secret"},"_embedded":"secret"}`,
		`{"id":"t1","delta":{"labels":{"old":["secret"]},"secret":{"old":["secret"]}},"ticket":"secret"}`,
		`{"id":"t1","_embedded":{"secret":1,"unit":{"secret":1,"name":["secret"]}}}`,
		`{"id":"t1","customSettings":[{"secret":1,"key":["secret"]}],"tags":{"secret":1},"files":[{"secret":1}]}`,
		`{"id":"t1","delta":["secret",{"field":"secret","new":1},{"field":"secret","removed":["secret"]},{"op":"secret","path":"/secret"}]}`,
		`{"id":"t1","delta":"secret"}`,
		`{"id":"t1","delta":["secret"]}`,
	} {
		result, err := event.Map(bodyWith("ticket.updated", data), receiveTime, tolerance)
		if err == nil && len(result.Findings) == 0 || strings.Contains(fmt.Sprint(result.Findings, err), "secret") {
			t.Errorf("%s: %v %v", data, result.Findings, err)
		}
	}
}

func TestMap_requestsRoundTrip(t *testing.T) {
	t.Parallel()
	for name := range corpusRequests() {
		message := messageOf(mustEvent(t, mustReadCorpus(t, name)))
		back := message.ProtoReflect().New().Interface()
		if err := proto.Unmarshal(mustMarshal(t, mustEvent(t, mustReadCorpus(t, name))), back); err != nil || !proto.Equal(message, back) {
			t.Errorf("%s: another message after the wire: %v", name, err)
		}
		if _, err := protojson.Marshal(message); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func mustEvent(tb testing.TB, body []byte) event.Result {
	tb.Helper()
	request, err := event.Map(body, receiveTime, tolerance)
	if err != nil {
		tb.Fatalf("Map: %v", err)
	}
	return request
}

func messageOf(request event.Result) proto.Message {
	if request.Created != nil {
		return request.Created
	}
	return request.Updated
}

func mustMarshal(tb testing.TB, request event.Result) []byte {
	tb.Helper()
	wire, err := proto.Marshal(messageOf(request))
	if err != nil {
		tb.Fatalf("Marshal: %v", err)
	}
	return wire
}

func splitMask(mask string) []string { return strings.Split(mask, ",") }
