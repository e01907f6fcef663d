package event_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ticketbridge/ticketbridge/gateway/internal/event"
	"github.com/ticketbridge/ticketbridge/internal/id"
)

// nested returns a body with an event, nested to that many levels of objects and arrays.
func nested(levels int) string {
	const around = 2 // the body and its event
	return `{"event":{"id":"e1","name":"ticket.created","data":` +
		strings.Repeat("[", levels-around) + strings.Repeat("]", levels-around) + `}}`
}

func nestedObjects(levels int) string {
	const around = 2
	return `{"event":{"id":"e1","name":"ticket.created","data":` +
		strings.Repeat(`{"a/b":`, levels-around) + "0" + strings.Repeat("}", levels-around) + `}}`
}

func TestParse_rejectsMalformedBodies(t *testing.T) {
	t.Parallel()
	const good = `{"event":{"id":"e1","name":"ticket.created","data":{"id":"t1"}}}`
	tests := map[string]struct{ body, reason string }{
		"empty":                    {"", "body is empty"},
		"only white space":         {" \n", "body is not valid JSON"},
		"null":                     {"null", "body is not an object"},
		"an array":                 {"[" + good + "]", "body is not an object"},
		"a string":                 {`"x"`, "body is not an object"},
		"a broken array":           {"[1,", "body is not valid JSON"},
		"truncated":                {good[:len(good)-1], "body is not valid JSON"},
		"truncated in a string":    {good[:20], "body is not valid JSON"},
		"trailing garbage":         {good + "x", "data after the JSON value"},
		"two objects":              {good + good, "data after the JSON value"},
		"trailing NUL":             {good + "\x00", "data after the JSON value"},
		"BOM":                      {"\ufeff" + good, "body begins with a byte order mark"},
		"UTF-16":                   {"\xff\xfe{\x00}\x00", "invalid UTF-8"},
		"invalid UTF-8":            {`{"event":{"id":"e1","x":"` + "\xc3\x28" + `"}}`, "invalid UTF-8"},
		"surrogates as UTF-8":      {`{"x":"` + "\xed\xa0\x80" + `"}`, "invalid UTF-8"},
		"overlong UTF-8":           {`{"x":"` + "\xc0\x80" + `"}`, "invalid UTF-8"},
		"trailing comma":           {`{"event":{},}`, "body is not valid JSON"},
		"comment":                  {`{/* */"event":{}}`, "body is not valid JSON"},
		"single quotes":            {`{'event':{}}`, "body is not valid JSON"},
		"name without quotes":      {`{event:{}}`, "body is not valid JSON"},
		"name that is a number":    {`{"event":{1:2}}`, "body is not valid JSON"},
		"NaN":                      {`{"event":{"data":NaN}}`, "body is not valid JSON"},
		"leading zero":             {`{"event":{"data":01}}`, "body is not valid JSON"},
		"raw control character":    {"{\"event\":{\"id\":\"a\nb\"}}", "body is not valid JSON"},
		"unknown escape":           {`{"event":{"id":"\x41"}}`, "body is not valid JSON"},
		"doubled at the top":       {`{"event":{},"event":{}}`, "doubled key"},
		"doubled in the event":     {`{"event":{"id":"a","name":"ticket.created","id":"a"}}`, "doubled key"},
		"doubled in data":          {`{"event":{"data":{"id":1,"id":1}}}`, "doubled key"},
		"doubled in data.ticket":   {`{"event":{"data":{"ticket":{"id":1,"id":1}}}}`, "doubled key"},
		"doubled far down":         {`{"event":{"data":{"x":[[{"y":{"z":1,"z":2}}]]}}}`, "doubled key"},
		"doubled, one escaped":     {`{"event":{"id":"a","\u0069d":"b"}}`, "doubled key"},
		"doubled outside event":    {`{"event":{},"x":{"y":1,"y":1}}`, "doubled key"},
		"nesting of 10001":         {nested(10_001), "nesting is over 10000 levels"},
		"nesting of 10001 objects": {nestedObjects(10_001), "nesting is over 10000 levels"},
		"nesting of 10001 beside":  {`{"x":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `}`, "nesting is over 10000 levels"},
		"nesting of 500000":        {strings.Repeat("[", 500_000), "nesting is over 10000 levels"},
		"deep and broken":          {strings.Repeat("[", 9_000), "body is not valid JSON"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := event.Parse([]byte(test.body))
			if reason := reasonOf(t, err); reason != test.reason {
				t.Errorf("reason = %q, want %q", reason, test.reason)
			}
			if !isUnreadable(err) {
				t.Error("the error does not report that the body is unreadable")
			}
			if diff := cmp.Diff(event.Envelope{}, got); diff != "" {
				t.Errorf("not the zero Envelope (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParse_rejectsFieldsAndKeepsTheOthers(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ä", id.MaxBytes/2)
	tests := map[string]struct{ id, name, reason, wantID, wantName string }{
		"id missing":                 {``, `"name":"ticket.created",`, "event.id is missing", "", "ticket.created"},
		"id in another case":         {`"ID":"e1",`, `"name":"ticket.created",`, "event.id is missing", "", "ticket.created"},
		"id empty":                   {`"id":"",`, `"name":"ticket.created",`, "event.id is empty", "", "ticket.created"},
		"id null":                    {`"id":null,`, `"name":"ticket.created",`, "event.id is not a string", "", "ticket.created"},
		"id a number":                {`"id":1,`, `"name":"ticket.created",`, "event.id is not a string", "", "ticket.created"},
		"id an object":               {`"id":{},`, `"name":"ticket.created",`, "event.id is not a string", "", "ticket.created"},
		"id of 258 bytes":            {`"id":"` + long + `ä",`, `"name":"ticket.created",`, "event.id is over 256 bytes", "", "ticket.created"},
		"id with NUL":                {`"id":"e\u0000",`, `"name":"ticket.created",`, "event.id is not valid text", "", "ticket.created"},
		"id with a lone surrogate":   {`"id":"\udc00e",`, `"name":"ticket.created",`, "event.id is not valid text", "", "ticket.created"},
		"name missing":               {`"id":"e1",`, ``, "event.name is missing", "e1", ""},
		"name in another case":       {`"id":"e1",`, `"Name":"ticket.created",`, "event.name is missing", "e1", ""},
		"name empty":                 {`"id":"e1",`, `"name":"",`, "event.name is empty", "e1", ""},
		"name a number":              {`"id":"e1",`, `"name":7,`, "event.name is not a string", "e1", ""},
		"id with an escape sequence": {`"id":"e\u001b[31m",`, `"name":"ticket.created",`, "event.id is not valid text", "", "ticket.created"},
		"id with a raw DEL":          {"\"id\":\"e\x7f\",", `"name":"ticket.created",`, "event.id is not valid text", "", "ticket.created"},
		"id with a C1 control":       {`"id":"e\u009b",`, `"name":"ticket.created",`, "event.id is not valid text", "", "ticket.created"},
		"id with an override":        {`"id":"e\u202e",`, `"name":"ticket.created",`, "event.id is not valid text", "", "ticket.created"},
		"id with a zero width":       {`"id":"e\u200b",`, `"name":"ticket.created",`, "event.id is not valid text", "", "ticket.created"},
		"name with NUL":              {`"id":"e1",`, `"name":"a\u0000",`, "event.name is not valid text", "e1", ""},
		"name with a lone surrogate": {`"id":"e1",`, `"name":"\ud800",`, "event.name is not valid text", "e1", ""},
		"name of 258 bytes":          {`"id":"e1",`, `"name":"` + long + `ä",`, "event.name is over 256 bytes", "e1", ""},
		"name unexpected":            {`"id":"e1",`, `"name":"ticket.deleted",`, "event.name is unexpected", "e1", "ticket.deleted"},
		"name in upper case":         {`"id":"e1",`, `"name":"Ticket.Created",`, "event.name is unexpected", "e1", "Ticket.Created"},
		"name with a blank":          {`"id":"e1",`, `"name":"ticket.created ",`, "event.name is unexpected", "e1", "ticket.created "},
		"name unexpected and no id":  {``, `"name":"booking.created",`, "event.name is unexpected", "", "booking.created"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := `{"event":{` + test.id + test.name + `"createdDate":"d","urn":"` + urn + `","data":{"id":"t9"}}}`
			got, err := event.Parse([]byte(body))
			if reason := reasonOf(t, err); reason != test.reason {
				t.Errorf("reason = %q, want %q", reason, test.reason)
			}
			if is := errors.Is(err, event.ErrUnexpectedEvent); is != (test.reason == "event.name is unexpected") {
				t.Errorf("errors.Is(err, ErrUnexpectedEvent) = %t", is)
			}
			if isUnreadable(err) {
				t.Error("the error reports that the body is unreadable")
			}
			want := event.Envelope{
				EventID: test.wantID, EventName: test.wantName, CreatedDate: []byte(`"d"`),
				URN: urn, AppID: appID, TicketID: "t9", TicketIDSource: "data.id", Data: []byte(`{"id":"t9"}`),
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("Parse (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParse_rejectsABodyWithoutAnEvent(t *testing.T) {
	t.Parallel()
	for body, reason := range map[string]string{
		`{}`:              "event is missing",
		`{"Event":{}}`:    "event is missing",
		`{"event":null}`:  "event is not an object",
		`{"event":[{}]}`:  "event is not an object",
		`{"event":"{}"}`:  "event is not an object",
		` {"event" : 1 }`: "event is not an object",
	} {
		if _, err := event.Parse([]byte(body)); reasonOf(t, err) != reason || isUnreadable(err) {
			t.Errorf("Parse(%s): %v, want %q of a readable body", body, err, reason)
		}
	}
}

func TestParse_acceptsUnusualValues(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ä", id.MaxBytes/2)
	around := func(data string) string { return `{"event":{"id":"e1","name":"ticket.created","data":` + data + `}}` }
	tests := map[string]struct{ body, wantID string }{
		"NUL in a title":            {around(`{"title":"a\u0000b"}`), "e1"},
		"a lone surrogate":          {around(`{"title":"\ud800"}`), "e1"},
		"two low surrogates":        {around(`{"title":"\udc00\udc00"}`), "e1"},
		"a lone surrogate in a key": {around(`{"\ud800":1}`), "e1"},
		"2^53+1":                    {around(`{"n":9007199254740993}`), "e1"},
		"a huge number":             {around(`{"n":1e999999999,"m":` + strings.Repeat("9", 5000) + `}`), "e1"},
		"ANSI escapes":              {around(`{"title":"\u001b[31m\r\n"}`), "e1"},
		"a field of 500 kB":         {around(`{"title":"` + strings.Repeat("x", 500_000) + `"}`), "e1"},
		"a date that is none":       {`{"event":{"id":"e1","name":"ticket.updated","createdDate":[7]}}`, "e1"},
		"keys by case":              {`{"event":{"id":"e1","ID":"e2","name":"ticket.updated","data":{"id":"1","Id":"2"}},"Event":0}`, "e1"},
		"the same key elsewhere":    {around(`{"id":"e1","x":{"id":{"id":1}}}`), "e1"},
		"no data":                   {`{"event":{"id":"e1","name":"ticket.updated"}}`, "e1"},
		"an id of 256 bytes":        {`{"event":{"id":"` + long + `","name":"ticket.updated"}}`, long},
		"an id of 256 bytes, escaped": {
			`{"event":{"id":"` + strings.Repeat(`\u00e4`, id.MaxBytes/2) + `","name":"ticket.updated"}}`, long,
		},
		"an id with white space":   {`{"event":{"id":" e 1 ","name":"ticket.updated"}}`, " e 1 "},
		"an id of a pair":          {`{"event":{"id":"\ud83e\udd76","name":"ticket.updated"}}`, "🥶"},
		"nesting of 10000":         {nested(10_000), "e1"},
		"nesting of 10000 objects": {nestedObjects(10_000), "e1"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := event.Parse([]byte(test.body))
			if err != nil {
				t.Fatalf("Parse: %v", err)
			}
			if got.EventID != test.wantID {
				t.Errorf("EventID = %q, want %q", got.EventID, test.wantID)
			}
		})
	}
}

func TestParse_errorsNeverQuoteTheBody(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{"event":{"secretKey":1,"secretKey":1}}`,
		`{"event":{"secretKey" 1}}`,
		`{"event":{"id":"secret\q"}}`,
		`{"event":{"id":"e1","name":"secret.event"}}`,
		`{"event":{"id":"e1","name":["secret"]}}`,
		`secret`,
	} {
		if _, err := event.Parse([]byte(body)); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("Parse(%s): %v", body, err)
		}
	}
}

func reasonOf(tb testing.TB, err error) string {
	tb.Helper()
	failure, ok := errors.AsType[*event.Error](err)
	if !ok {
		tb.Fatalf("error is %v, want an *event.Error", err)
	}
	return failure.Reason
}

func isUnreadable(err error) bool {
	failure, ok := errors.AsType[*event.Error](err)
	return ok && failure.IsUnreadable
}
