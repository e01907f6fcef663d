package webhook_test

import (
	"bytes"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	"github.com/ticketbridge/ticketbridge/gateway/internal/signature"
)

const unexpectedEvent = `{"event":{"id":"e3","name":"ticket.deleted","data":{"id":"t1","title":"` + private + `"}}}`

// nested returns a body with that number of levels.
func nested(levels int) string {
	const around = 4 // the body, its event, its data and the list
	return eventWith("e1", `"x":[`+strings.Repeat("[", levels-around)+strings.Repeat("]", levels-around)+`]`)
}

func TestHandler_malformedIsRejectedAndKeptOnce(t *testing.T) {
	t.Parallel()
	good := bodyOf("e1")
	withID := func(member string) string { return strings.Replace(good, `"id":"e1",`, member, 1) }
	withName := func(member string) string { return strings.Replace(good, `"name":"ticket.created",`, member, 1) }

	for name, test := range map[string]struct{ body, reason, eventID string }{
		"empty body":                {"", "body is empty", ""},
		"null":                      {"null", "body is not an object", ""},
		"an array":                  {"[" + good + "]", "body is not an object", ""},
		"a string":                  {`"` + private + `"`, "body is not an object", ""},
		"not JSON":                  {private, "body is not valid JSON", ""},
		"truncated":                 {good[:len(good)-1], "body is not valid JSON", ""},
		"truncated in a title":      {good[:strings.Index(good, private)+5], "body is not valid JSON", ""},
		"trailing garbage":          {good + "x", "data after the JSON value", ""},
		"a second event":            {good + bodyOf("e2"), "data after the JSON value", ""},
		"trailing NUL":              {good + "\x00", "data after the JSON value", ""},
		"BOM":                       {"\xef\xbb\xbf" + good, "body begins with a byte order mark", ""},
		"UTF-16":                    {"\xff\xfe{\x00}\x00", "invalid UTF-8", ""},
		"doubled key":               {withID(`"id":"e1","id":"e1",`), "doubled key", ""},
		"doubled key, escaped":      {withID(`"id":"e1","\u0069d":"e2",`), "doubled key", ""},
		"doubled event":             {`{"event":{},` + good[1:], "doubled key", ""},
		"doubled key in the ticket": {eventWith("e1", `"title":"`+private+`","title":"b"`), "doubled key", ""},
		"doubled key far down":      {eventWith("e1", `"x":[{"y":{"z":1,"z":1}}]`), "doubled key", ""},
		"invalid UTF-8":             {eventWith("e1", `"title":"`+private+"\xc3\x28"+`"`), "invalid UTF-8", ""},
		"a surrogate as UTF-8":      {eventWith("e1", `"title":"`+"\xed\xa0\x80"+`"`), "invalid UTF-8", ""},
		"raw escape character":      {eventWith("e1", `"title":"`+private+"\x1b[31m"+`"`), "body is not valid JSON", ""},
		"nesting of 10,001":         {nested(10_001), "nesting is over 10000 levels", ""},
		"nesting of 500,000":        {strings.Repeat("[", 500_000), "nesting is over 10000 levels", ""},
		"no event":                  {`{"title":"` + private + `"}`, "event is missing", ""},
		"Event":                     {strings.Replace(good, `"event"`, `"Event"`, 1), "event is missing", ""},
		"event null":                {`{"event":null}`, "event is not an object", ""},
		"event a string":            {`{"event":"` + private + `"}`, "event is not an object", ""},
		"id missing":                {withID(``), "event.id is missing", ""},
		"id as ID":                  {withID(`"ID":"e1",`), "event.id is missing", ""},
		"id empty":                  {withID(`"id":"",`), "event.id is empty", ""},
		"id null":                   {withID(`"id":null,`), "event.id is not a string", ""},
		"id a number":               {withID(`"id":1,`), "event.id is not a string", ""},
		"id an object":              {withID(`"id":{"id":"e1"},`), "event.id is not a string", ""},
		"id of 257 bytes":           {withID(`"id":"` + strings.Repeat("e", 257) + `",`), "event.id is over 256 bytes", ""},
		"id of 258 bytes of UTF-8":  {withID(`"id":"` + strings.Repeat("ä", 129) + `",`), "event.id is over 256 bytes", ""},
		"id with NUL":               {withID(`"id":"e\u0000",`), "event.id is not valid text", ""},
		"id with a lone surrogate":  {withID(`"id":"\ud800",`), "event.id is not valid text", ""},
		"name missing":              {withName(``), "event.name is missing", "e1"},
		"name empty":                {withName(`"name":"",`), "event.name is empty", "e1"},
		"name a number":             {withName(`"name":1,`), "event.name is not a string", "e1"},
		"name of 257 bytes":         {withName(`"name":"` + strings.Repeat("n", 257) + `",`), "event.name is over 256 bytes", "e1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := mustServe(t)
			kept := rejected(test.reason, test.eventID, test.body)
			d.follow(t, step{signed(test.body), malformed})
			d.wantRows(t, kept)
			d.follow(t, step{signed(test.body), malformed})
			d.wantRows(t, kept)
			// It blocks no delivery. A good delivery replaces it if both are of the same event.
			d.follow(t, step{signed(good), success})
			if test.eventID == "" {
				d.wantRows(t, kept, pending("e1", good))
			} else {
				d.wantRows(t, pending("e1", good))
			}
		})
	}
}

func TestHandler_unexpectedEvents(t *testing.T) {
	t.Parallel()
	const reason = "event.name is unexpected"
	for name, eventName := range map[string]string{
		"another kind of a ticket's": "ticket.deleted",
		"of something else":          "booking.created",
		"in upper case":              "Ticket.Created",
		"with a blank":               "ticket.created ",
		"with an escape":             `\u001b[31mticket.created`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := strings.Replace(bodyOf("e1"), "ticket.created", eventName, 1)
			for _, test := range []struct {
				acknowledge bool
				want        answer
			}{{false, unexpected}, {true, success}} {
				d := mustServe(t, func(s *setup) { s.options.AcknowledgeUnexpected = test.acknowledge })
				d.follow(t, step{signed(body), test.want}, step{signed(body), test.want})
				d.wantRows(t, rejected(reason, "e1", body))
				d.follow(t, step{signed(bodyOf("e1")), success})
				d.wantRows(t, pending("e1", bodyOf("e1")))
			}
		})
	}
}

// An unexpected event is acknowledged only if it is valid otherwise.
func TestHandler_acknowledgeUnexpectedCoversNothingElse(t *testing.T) {
	t.Parallel()
	d := mustServe(t, func(s *setup) { s.options.AcknowledgeUnexpected = true })
	d.follow(t,
		step{signed("{"), malformed},
		step{signed(unexpectedEvent).with(timestampHeader, "1"), unauthorized},
		step{signed(unexpectedEvent).with(signatureHeader, sign("wrong", unexpectedEvent)), unauthorized})
	d.wantRows(t, rejected("body is not valid JSON", "", "{"), rejected(signature.ErrStale.Error(), "e3", unexpectedEvent))
}

func TestHandler_storesValuesExactly(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"2^53+1":                     eventWith("e1", `"externalRef":9007199254740993`),
		"a number beyond any double": eventWith("e1", `"n":1e999999,"m":-0.0,"o":1E+2,"p":`+strings.Repeat("9", 400)),
		"NUL in a title":             eventWith("e1", `"title":"`+private+`\u0000b"`),
		"a lone high surrogate":      eventWith("e1", `"title":"`+private+`\ud800"`),
		"a lone low surrogate":       eventWith("e1", `"title":"\udc00`+private+`"`),
		"surrogates the wrong way":   eventWith("e1", `"title":"\udc00\ud800"`),
		"a lone surrogate in a key":  eventWith("e1", `"\ud800":"`+private+`"`),
		"CRLF in a title":            eventWith("e1", `"title":"`+private+`\r\nlevel=ERROR msg=forged"`),
		"ANSI escapes in a title":    eventWith("e1", `"title":"`+private+`\u001b[31m\u001b]0;owned\u0007"`),
		"a URL to a metadata address": eventWith("e1", `"title":"http://169.254.169.254/latest/meta-data/","files":[`+
			`"http://metadata.google.internal/computeMetadata/v1/"]`),
		"year 9999":                strings.Replace(bodyOf("e1"), "2026-03-02T07:15:30.123Z", "9999-12-31T23:59:59.999999999Z", 1),
		"a date that is none":      strings.Replace(bodyOf("e1"), `"2026-03-02T07:15:30.123Z"`, `{"year":-1}`, 1),
		"a field of 500 kB":        eventWith("e1", `"description":"`+strings.Repeat(private+`\n`, 500_000/(len(private)+2)+1)+`"`),
		"a body of 16 KiB":         eventWith("e1", `"x":"`+strings.Repeat("x", 16<<10-len(eventWith("e1", `"x":""`)))+`"`),
		"white space":              " \r\n\t" + bodyOf("e1") + " \r\n\t",
		"keys by case":             eventWith("e1", `"Id":"t2","ID":"t3"`),
		"an id beside in the data": eventWith("e1", `"event":{"id":"e2","name":"x"}`),
		"an escaped slash":         eventWith("e1", `"title":"\/\u002f\u00e4ä"`),
		"nesting of 10,000":        nested(10_000),
		"no data":                  `{"event":{"id":"e1","name":"ticket.updated"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := mustServe(t)
			stale := signed(body).with(timestampHeader, "1")
			d.follow(t, step{stale, unauthorized})
			d.wantRows(t, rejected(signature.ErrStale.Error(), "e1", body))
			d.follow(t, step{signed(body), success})
			d.wantRows(t, pending("e1", body))
			d.follow(t, step{signed(body).chunked(100_000), answers(200, "success", "Connection: close")})
			d.wantRows(t, pending("e1", body))
		})
	}
}

func TestHandler_longestIDs(t *testing.T) {
	t.Parallel()
	id := strings.Repeat("ä", 128)
	d := mustServe(t)
	escaped := bodyOf(strings.Repeat(`\u00e4`, 128))
	d.follow(t, step{signed(bodyOf(id)), success}, step{signed(escaped), success})
	d.wantRows(t, pending(id, bodyOf(id)), rejected(inbox.ReasonOtherBody, id, escaped))
}

// An id is logged, because operators search for it. Nobody can write a log line with it.
func TestHandler_idsAreHarmlessInTheLog(t *testing.T) {
	t.Parallel()
	for name, escaped := range map[string]string{"escape sequence": `\u001b[31mred`, "DEL": `\u007f`, "C1 control": `\u009b31m`,
		"line break": `\r\nlevel=ERROR`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := mustServe(t)
			body := bodyOf(escaped)
			d.follow(t, step{signed(body), malformed})
			d.wantRows(t, rejected("event.id is not valid text", "", body))
		})
	}
	t.Run("quotes", func(t *testing.T) {
		t.Parallel()
		d := mustServe(t)
		body := bodyOf(`msg=forged \"quoted\"`)
		id := `msg=forged "quoted"`
		d.follow(t, step{signed(body).with(timestampHeader, "1"), unauthorized})
		d.wantRows(t, rejected(signature.ErrStale.Error(), id, body))
		if log := d.log.String(); !strings.Contains(log, "event_id="+strconv.Quote(id)) {
			t.Errorf("the id is not in the log: %s", log)
		}
	})
}

func TestHandler_fetchesNothing(t *testing.T) {
	t.Parallel()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	url := "http://" + listener.Addr().String() + "/"
	t.Run("posted", func(t *testing.T) {
		d := mustServe(t)
		body := strings.ReplaceAll(eventWith("e1", `"title":"URL","description":"<img src='URL'>","files":["URL"],"url":"URL",`+
			`"_embedded":{"files":[{"id":"f1","href":"URL","_links":{"self":{"href":"URL"}}}]}`), "URL", url)
		d.follow(t, step{signed(body).and("Origin", url).and("Referer", url).and("Traceparent", url), success})
		d.wantRows(t, pending("e1", body))
	})
	// The server has stopped by now, with everything that it began: a connection would be waiting.
	if err := listener.(*net.TCPListener).SetDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if conn, err := listener.Accept(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Accept = %v, %v; want that nobody came", conn, err)
	}
}

// The kept body has no tokens, so bodies that differ only in a token are the same.
func TestHandler_duplicateWithAnotherToken(t *testing.T) {
	t.Parallel()
	d := mustServe(t)
	withToken := func(token string) string { return eventWith("e1", `"token":"`+token+`"`) }
	d.follow(t, step{signed(withToken(accessToken)), success}, step{signed(withToken(accessToken + "2")), success})
	d.wantRows(t, pending("e1", withToken("redacted")))
}

func TestHandler_accessTokensAreNotOnTheDisk(t *testing.T) {
	t.Parallel()
	member := `"token":"` + accessToken + `"`
	good := eventWith("e1", member+`,"marker":"is on the disk"`)
	deep := eventWith("e2", `"_embedded":{"users":[{"\u0074oken" : ["`+accessToken+`",{"a":"`+accessToken+`"}]}]}`)
	redact := strings.NewReplacer(`["`+accessToken+`",{"a":"`+accessToken+`"}]`, `"redacted"`, `"`+accessToken+`"`, `"redacted"`)
	asConflict, doubled, trailing := good+" ", eventWith("e4", member+","+member), good+"x"
	truncated := good[:strings.Index(good, accessToken)+len(accessToken)]
	tooDeep := strings.Replace(nested(10_001), `"x"`, member+`,"x"`, 1)

	d := mustServe(t)
	d.follow(t,
		step{signed(good).with(timestampHeader, "1"), unauthorized},
		step{signed(good), success}, step{signed(good), success},
		step{signed(deep), success}, step{signed(asConflict), success},
		step{signed(doubled), malformed}, step{signed(trailing), malformed}, step{signed(truncated), malformed},
		step{signed(tooDeep), malformed})
	d.wantRows(t,
		pending("e1", redact.Replace(good)), pending("e2", redact.Replace(deep)),
		rejected(inbox.ReasonOtherBody, "e1", redact.Replace(asConflict)),
		rejected("doubled key", "", redact.Replace(doubled)), rejected("data after the JSON value", "", redact.Replace(trailing)),
		rejected("body is not valid JSON", "", strings.Replace(truncated, `"`+accessToken, `"redacted"`, 1)),
		rejected("nesting is over 10000 levels", "", redact.Replace(tooDeep)))

	files, err := filepath.Glob(d.path + "*")
	if err != nil || len(files) < 3 {
		t.Fatalf("the files are %q, %v; want the database, its log and more", files, err)
	}
	found := false
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(content, []byte(accessToken)) {
			t.Errorf("%s holds an access token", filepath.Base(file))
		}
		found = found || bytes.Contains(content, []byte("is on the disk"))
	}
	if !found {
		t.Error("what is kept was not found in the files, so that this test proves nothing")
	}
}
