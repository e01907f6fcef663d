package event_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ticketbridge/ticketbridge/gateway/internal/event"
	"github.com/ticketbridge/ticketbridge/internal/id"
)

const (
	appID = "82662ee4-0080-4960-8b8f-d7693e6ff3e4"
	urn   = "urn:allthings:app:" + appID + ":ticket:c1:t1"
)

func TestParse_everyField(t *testing.T) {
	t.Parallel()
	body := []byte(` {"event": {"id": "e1", "name": "ticket.updated", "createdDate": "2026-03-02T08:00:00.000Z", "urn": "` + urn +
		`", "data": {"id": "t1", "delta": {"n": 9007199254740993} } } } `)

	got, err := event.Parse(body)
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	want := event.Envelope{
		EventID:        "e1",
		EventName:      event.TicketUpdated,
		CreatedDate:    []byte(`"2026-03-02T08:00:00.000Z"`),
		URN:            urn,
		AppID:          appID,
		TicketID:       "t1",
		TicketIDSource: "data.id",
		Data:           []byte(`{"id": "t1", "delta": {"n": 9007199254740993} }`),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Parse (-want +got):\n%s", diff)
	}
}

func TestParse_acceptsTheCorpus(t *testing.T) {
	t.Parallel()
	for _, path := range corpus(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			got, err := event.Parse(mustRead(t, path))
			if unexpected := filepath.Base(path) == "unexpected-event.json"; unexpected != errors.Is(err, event.ErrUnexpectedEvent) {
				t.Fatalf("Parse: %v", err)
			}
			if got.EventID == "" || got.EventName == "" || got.CreatedDate == nil || got.AppID != appID || got.TicketID == "" || got.Data == nil {
				t.Errorf("Parse left something empty: %+v", got)
			}
		})
	}
}

func TestParse_ticketID(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", id.MaxBytes)
	tests := map[string]struct {
		data, urn, want, source string
	}{
		"data.id first":                      {`{"ticket": {"id": "c"}, "ticketId": "b", "id": "a"}`, urn, "a", "data.id"},
		"then data.ticketId":                 {`{"ticket": {"id": "c"}, "ticketId": "b"}`, urn, "b", "data.ticketId"},
		"then data.ticket.id":                {`{"ticket": {"x": 1, "id": "c"}}`, urn, "c", "data.ticket.id"},
		"then the URN":                       {`{}`, urn, "t1", "urn"},
		"an integer, digit by digit":         {`{"id": 9007199254740993}`, urn, "9007199254740993", "data.id"},
		"a fraction is no id":                {`{"id": 1.0}`, urn, "t1", "urn"},
		"an exponent is no id":               {`{"id": 1e3}`, urn, "t1", "urn"},
		"null is no id":                      {`{"id": null, "ticketId": "b"}`, urn, "b", "data.ticketId"},
		"an empty text is no id":             {`{"id": "", "ticketId": "b"}`, urn, "b", "data.ticketId"},
		"an object with an id":               {`{"id": {"x": {"id": 1}, "id": "a"}}`, urn, "a", "data.id"},
		"an object with an integer as id":    {`{"id": { }, "ticketId": {"id": 7 }}`, urn, "7", "data.ticketId"},
		"a MongoDB object id":                {`{"id": {"$oid": "a"}}`, urn, "a", "data.id"},
		"an object with such an id":          {`{"ticket": {"id": {"id": {"$oid": "a"}}}}`, urn, "a", "data.ticket.id"},
		"an object without an id":            {`{"id": {"key": "x"}}`, urn, "t1", "urn"},
		"an object in an object is no id":    {`{"id": {"id": {"id": {"id": "x"}}}}`, urn, "t1", "urn"},
		"an object with an unusable id":      {`{"id": {"id": "a\n"}, "ticketId": "b"}`, urn, "", ""},
		"a boolean is no id":                 {`{"id": true}`, urn, "t1", "urn"},
		"ID is not id":                       {`{"ID": "a", "ticketID": "b"}`, urn, "t1", "urn"},
		"an escaped name is the same name":   {`{"\u0069d": "a"}`, urn, "a", "data.id"},
		"an escaped value is unescaped":      {`{"id": "a\u002fb\\"}`, urn, `a/b\`, "data.id"},
		"a control character":                {`{"id": "a\n"}`, urn, "", ""},
		"256 bytes":                          {`{"id": "` + long + `"}`, urn, long, "data.id"},
		"257 bytes, nor another one instead": {`{"id": "` + long + `x", "ticketId": "b"}`, urn, "", ""},
		"NUL":                                {`{"id": "a\u0000"}`, urn, "", ""},
		"a lone surrogate":                   {`{"id": "\ud800", "ticketId": "b"}`, urn, "", ""},
		"data is no object":                  {`[{"id": "a"}]`, urn, "t1", "urn"},
		"data is null":                       {`null`, urn, "t1", "urn"},
		"ticket is no object":                {`{"ticket": "c"}`, urn, "t1", "urn"},
		"an id in the delta is none":         {`{"delta": {"id": "d"}}`, "", "", ""},
		"a wildcard in the URN":              {`{}`, "urn:allthings:app:a:ticket:c1:*", "", ""},
		"a control character in the URN":     {`{}`, `urn:allthings:app:a:ticket:c1:\u001b[31m`, "", ""},
		"an override in the URN":             {`{}`, `urn:allthings:app:a:ticket:c1:t\u202e`, "", ""},
		"a zero width in an id":              {`{"id": "a\u200b"}`, urn, "", ""},
		"the URN ends with the category":     {`{}`, "urn:allthings:app:a:ticket:c1", "", ""},
		"the URN's last is data.category":    {`{"category": "c2"}`, "urn:allthings:app:a:ticket:c1:c2", "", ""},
		"the URN's last is a numeric one":    {`{"category": 7}`, "urn:allthings:app:a:ticket:c1:7", "", ""},
		"the URN's category twice":           {`{}`, "urn:allthings:app:a:ticket:c1:c1", "", ""},
		"the URN goes on":                    {`{}`, "urn:allthings:app:a:ticket:c1:t1:comment", "", ""},
		"a URN of something else":            {`{}`, "urn:allthings:app:a:booking:c1:b1", "", ""},
		"257 bytes in the URN":               {`{}`, urn + long, "", ""},
		"no URN":                             {`{}`, "", "", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := event.Parse([]byte(`{"event":{"id":"e","name":"ticket.updated","urn":"` + test.urn + `","data":` + test.data + `}}`))
			if err != nil {
				t.Fatalf("Parse: %v", err)
			}
			if got.TicketID != test.want || got.TicketIDSource != test.source {
				t.Errorf("TicketID = %q from %q, want %q from %q", got.TicketID, got.TicketIDSource, test.want, test.source)
			}
		})
	}
}

func TestParse_appID(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ urn, want string }{
		"of a ticket":       {`"urn:allthings:app:a1:ticket:c1:t1"`, "a1"},
		"of something else": {`"urn:allthings:app:a1:booking:b1"`, "a1"},
		"alone":             {`"urn:allthings:app:a1"`, "a1"},
		"every app":         {`"urn:allthings:app:*:ticket:c1:t1"`, ""},
		"empty":             {`"urn:allthings:app::ticket:c1:t1"`, ""},
		"another namespace": {`"urn:other:app:a1:ticket:c1:t1"`, ""},
		"upper case":        {`"URN:allthings:app:a1:ticket:c1:t1"`, ""},
		"not text":          {`"urn:allthings:app:a\u0000:ticket:c1:t1"`, ""},
		"a control":         {`"urn:allthings:app:a\u009b31m:ticket:c1:t1"`, ""},
		"an override":       {`"urn:allthings:app:a\u202e:ticket:c1:t1"`, ""},
		"a zero width":      {`"urn:allthings:app:a\u200b:ticket:c1:t1"`, ""},
		"of 256 bytes":      {`"urn:allthings:app:` + strings.Repeat("a", 256) + `:ticket:c1:t1"`, strings.Repeat("a", 256)},
		"of 257 bytes":      {`"urn:allthings:app:` + strings.Repeat("a", 257) + `:ticket:c1:t1"`, ""},
		"not a string":      {`7`, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := event.Parse([]byte(`{"event":{"id":"e","name":"ticket.updated","urn":` + test.urn + `}}`))
			if err != nil {
				t.Fatalf("Parse: %v", err)
			}
			if got.AppID != test.want {
				t.Errorf("AppID = %q, want %q", got.AppID, test.want)
			}
		})
	}
}

// corpus returns the paths of the sample deliveries, which are in internal/testkit/samples.
func corpus(tb testing.TB) []string {
	tb.Helper()
	paths, err := filepath.Glob("../../../internal/testkit/samples/*.json")
	if err != nil || len(paths) == 0 {
		tb.Fatalf("no corpus: %v", err)
	}
	return paths
}

func mustRead(tb testing.TB, path string) []byte {
	tb.Helper()
	body, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return body
}
