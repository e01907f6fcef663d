package webhook_test

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	"github.com/ticketbridge/ticketbridge/gateway/internal/signature"
)

func TestHandler_storesNothingUnsigned(t *testing.T) {
	t.Parallel()
	body := bodyOf("e1")
	good := signed(body)
	digits := sign(secret, body)
	flipped := mac(secret, body)
	flipped[0] ^= 0x80
	pretty := strings.ReplaceAll(body, ":", ": ")

	d := mustServe(t)
	leavesNoTrace := func(name string, r request, want answer) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// The whole answer is compared. Its body is the same as that for a stale delivery.
			d.follow(t, step{r, want}, step{r, want})
			d.wantRows(t)
		})
	}
	for name, r := range map[string]request{
		"empty signature":                  good.with(signatureHeader, ""),
		"only the prefix":                  good.with(signatureHeader, "sha256="),
		"63 hex digits":                    good.with(signatureHeader, digits[:63]),
		"65 hex digits":                    good.with(signatureHeader, digits+"0"),
		"not hex":                          good.with(signatureHeader, strings.Repeat("g", 64)),
		"base64":                           good.with(signatureHeader, base64.StdEncoding.EncodeToString(mac(secret, body))),
		"two signature headers":            good.and(signatureHeader, digits),
		"two signature headers, one wrong": good.and(signatureHeader, sign("x", body)),
		"two signature headers, one empty": good.and(signatureHeader, ""),
		"a comma list":                     good.with(signatureHeader, digits+","+digits),
		"a comma list with a blank":        good.with(signatureHeader, digits+", "+digits),
	} {
		leavesNoTrace(name, r, noSignature)
	}
	for name, r := range map[string]request{
		"wrong secret":                       good.with(signatureHeader, sign("wrong", body)),
		"empty secret":                       good.with(signatureHeader, sign("", body)),
		"all secrets as one":                 good.with(signatureHeader, sign(secret+","+previousSecret, body)),
		"the MAC of re-serialised JSON":      signed(pretty).carrying(body),
		"re-serialised JSON":                 good.carrying(pretty),
		"one bit of the signature flipped":   good.with(signatureHeader, hex.EncodeToString(flipped)),
		"one bit of the body flipped":        good.carrying(strings.Replace(body, "e1", "e0", 1)),
		"CRLF appended to the body":          good.carrying(body + "\r\n"),
		"a body cut to what its length says": good.carrying(body[:len(body)-1]),
		"a retired secret":                   good.with(signatureHeader, sign(retiredSecret, body)),
		"the MAC of body and time":           good.with(signatureHeader, sign(secret, at(0)+"."+body)),
		"a good signature of another body":   signed(bodyOf("e2")).carrying(body),
		"wrong, stale and malformed":         signed("{").with(signatureHeader, digits).with(timestampHeader, "0"),
		"wrong and stale":                    good.with(signatureHeader, sign("wrong", body)).without(timestampHeader),
		"wrong and of an unexpected kind":    signed(unexpectedEvent).with(signatureHeader, digits),
		"wrong, and of an empty body":        signed("").with(signatureHeader, digits),
		"wrong, with more than a small buffer": signed(eventWith("e1", `"title":"`+strings.Repeat("x", 100_000)+`"`)).
			with(signatureHeader, digits),
	} {
		leavesNoTrace(name, r, unauthorized)
	}
}

func TestHandler_withoutSecrets(t *testing.T) {
	t.Parallel()
	d := mustServe(t, func(s *setup) { s.secrets = nil })
	r := signed(bodyOf("e1"))
	d.follow(t, step{r, unauthorized}, step{r.with(signatureHeader, sign("", r.body)), unauthorized})
	d.wantRows(t)
}

func TestHandler_staleIsRejectedAndKeptOnce(t *testing.T) {
	t.Parallel()
	body := bodyOf("e1")
	good := signed(body)
	for name, stale := range map[string]request{
		"missing":                 good.without(timestampHeader),
		"empty":                   good.with(timestampHeader, ""),
		"in seconds":              good.with(timestampHeader, at(0)[:10]),
		"in microseconds":         good.with(timestampHeader, at(0)+"000"),
		"1e12":                    good.with(timestampHeader, "1e12"),
		"with a fraction":         good.with(timestampHeader, at(0)+".0"),
		"overflowing":             good.with(timestampHeader, "99999999999999999999"),
		"overflowing to now":      good.with(timestampHeader, "18446744075481987346246"),
		"negative":                good.with(timestampHeader, "-"+at(0)),
		"with a plus":             good.with(timestampHeader, "+"+at(0)),
		"zero":                    good.with(timestampHeader, "0"),
		"twice":                   good.and(timestampHeader, at(0)),
		"twice in one":            good.with(timestampHeader, at(0)+","+at(0)),
		"a date":                  good.with(timestampHeader, epoch.Format(time.RFC3339)),
		"2 min and 1 ms too old":  good.with(timestampHeader, at(-tolerance-time.Millisecond)),
		"2 min and 1 ms too new":  good.with(timestampHeader, at(tolerance+time.Millisecond)),
		"under another name":      good.without(timestampHeader).and("x-allthings-timestamp", at(0)),
		"too old, by upper case":  good.with(signatureHeader, strings.ToUpper(sign(secret, body))).with(timestampHeader, "1"),
		"too old, by old secret":  good.with(signatureHeader, sign(previousSecret, body)).with(timestampHeader, "1"),
		"with a control sequence": good.with(timestampHeader, "\x80\x9b31m"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := mustServe(t)
			kept := rejected(signature.ErrStale.Error(), "e1", body)
			d.follow(t, step{stale, unauthorized})
			d.wantRows(t, kept)
			d.follow(t, step{stale, unauthorized})
			d.wantRows(t, kept)
			d.follow(t, step{good, success})
			d.wantRows(t, pending("e1", body))
			d.follow(t, step{stale, unauthorized})
			d.wantRows(t, pending("e1", body))
		})
	}
}

func TestHandler_acknowledged(t *testing.T) {
	t.Parallel()
	body, other := bodyOf("e1"), eventWith("e1", `"title":"other"`)
	good, digits := signed(body), sign(secret, body)
	one := []row{pending("e1", body)}
	asConflict := rejected(inbox.ReasonOtherBody, "e1", other)

	for name, test := range map[string]struct {
		requests []request
		rows     []row
	}{
		"a good delivery":               {[]request{good}, one},
		"exactly 2 min old":             {[]request{good.with(timestampHeader, at(-tolerance))}, one},
		"exactly 2 min ahead":           {[]request{good.with(timestampHeader, at(tolerance))}, one},
		"upper-case hex":                {[]request{good.with(signatureHeader, strings.ToUpper(digits))}, one},
		"sha256= before it":             {[]request{good.with(signatureHeader, "sha256="+digits)}, one},
		"sha256= before upper-case hex": {[]request{good.with(signatureHeader, "sha256="+strings.ToUpper(digits))}, one},
		"blanks around it":              {[]request{good.with(signatureHeader, "  "+digits+" \t")}, one},
		"the header in another case":    {[]request{good.without(signatureHeader).and("X-ALLTHINGS-Signature", digits)}, one},
		"the previous secret":           {[]request{good.with(signatureHeader, sign(previousSecret, body))}, one},
		"identity encoding":             {[]request{good.and("Content-Encoding", "identity")}, one},
		"identity in upper case":        {[]request{good.and("Content-Encoding", "IDENTITY")}, one},
		"no Content-Type":               {[]request{good.without("Content-Type")}, one},
		"a query":                       {[]request{good.to("POST /webhook?x=1 HTTP/1.1")}, one},
		"an absolute target":            {[]request{good.to("POST http://gateway.example/webhook HTTP/1.1")}, one},
		"an exact duplicate":            {[]request{good, good}, one},
		"a captured body with a new timestamp": {
			[]request{good, good.with(timestampHeader, at(time.Minute)), good.with(timestampHeader, at(-time.Minute))}, one,
		},
		"a duplicate under the other secret": {[]request{good, good.with(signatureHeader, sign(previousSecret, body))}, one},
		"the same id with another body": {
			[]request{good, signed(other)}, []row{pending("e1", body), asConflict},
		},
		"the same id with another body, twice": {
			[]request{good, signed(other), signed(other), good}, []row{pending("e1", body), asConflict},
		},
		"the same id with two other bodies": {
			[]request{good, signed(other), signed(other + " ")},
			[]row{pending("e1", body), asConflict, rejected(inbox.ReasonOtherBody, "e1", other+" ")},
		},
		"ids that differ by case": {
			[]request{good, signed(bodyOf("E1"))}, []row{pending("e1", body), pending("E1", bodyOf("E1"))},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := mustServe(t)
			for _, r := range test.requests {
				d.follow(t, step{r, success})
			}
			d.wantRows(t, test.rows...)
		})
	}
}

func TestHandler_duplicateOfAForwardedEvent(t *testing.T) {
	t.Parallel()
	d := mustServe(t)
	body := bodyOf("e1")
	d.follow(t, step{signed(body), success})
	claimed, err := d.store.Claim(t.Context(), epoch, time.Minute, 10)
	if err != nil || len(claimed) != 1 {
		t.Fatalf("claimed %d, %v", len(claimed), err)
	}
	outcome := inbox.Outcome{Lease: claimed[0].Lease, State: inbox.Forwarded}
	if lost, err := d.store.Finish(t.Context(), epoch, []inbox.Outcome{outcome}); lost != 0 || err != nil {
		t.Fatalf("lost %d, %v", lost, err)
	}
	d.follow(t, step{signed(body), success}, step{signed(body).with(timestampHeader, "1"), unauthorized})
	d.wantRows(t, row{inbox.Forwarded, "", "e1", body})
}

func TestHandler_otherSignatureHeaders(t *testing.T) {
	t.Parallel()
	d := mustServe(t, func(s *setup) { s.options.SignatureHeaders = []string{"x-hub-signature-256", "signature"} })
	body := bodyOf("e1")
	good, wrong := sign(secret, body), sign("wrong", body)
	r := signed(body)
	stale := rejected(signature.ErrStale.Error(), "e1", body)
	d.follow(t,
		step{r, testEvent}, // It has no signature for this handler.
		step{r.and("Signature", wrong), unauthorized},
		// The first name of the setting counts, whatever the order of the request's headers, and even if its signature can't be right.
		step{r.and("Signature", good).and("Signature-Timestamp", at(0)).and("X-Hub-Signature-256", wrong), unauthorized},
		step{r.and("Signature", good).and("Signature-Timestamp", at(0)).and("X-Hub-Signature-256", ""), noSignature})
	d.wantRows(t)
	// The time is taken from the header that belongs to the signature's header.
	d.follow(t, step{r.and("Signature", good).and("X-Hub-Signature-256-Timestamp", at(0)), unauthorized})
	d.wantRows(t, stale)
	d.follow(t, step{r.and("X-Hub-Signature-256", "sha256="+good).and("Signature-Timestamp", at(0)).and("Signature", wrong), unauthorized})
	d.wantRows(t, stale)
	d.follow(t, step{r.and("Signature", good).and("Signature-Timestamp", at(0)), success})
	d.wantRows(t, pending("e1", body))
}

// GitHub's form: the signature has a prefix, and no time.
func TestHandler_tolerance0(t *testing.T) {
	t.Parallel()
	d := mustServe(t, func(s *setup) {
		s.options.SignatureHeaders = []string{"x-hub-signature-256", "signature"}
		s.options.TimestampTolerance = 0
	})
	first, second := bodyOf("e1"), bodyOf("e2")
	d.follow(t,
		step{unsigned(first).and("X-Hub-Signature-256", "sha256="+sign(secret, first)), success},
		step{unsigned(second).and("Signature", "sha256="+sign(secret, second)).and("Signature-Timestamp", "1"), success},
		// Only deduplication by event id protects then.
		step{unsigned(first).and("X-Hub-Signature-256", "sha256="+sign(secret, first)), success},
		step{unsigned(bodyOf("e3")).and("X-Hub-Signature-256", "sha256="+sign("wrong", bodyOf("e3"))), unauthorized})
	d.wantRows(t, pending("e1", first), pending("e2", second))
}

func TestHandler_unsigned(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]request{
		"a good event":          unsigned(bodyOf("e1")),
		"a seed's test":         unsigned("{}"),
		"with a timestamp":      signed(bodyOf("e1")).without(signatureHeader),
		"an empty body":         unsigned(""),
		"no body":               unsigned("").without("Content-Length"),
		"in chunks, and closed": unsigned(bodyOf("e1")).chunked(7),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var headers []string
			if strings.Contains(name, "closed") {
				headers = []string{"Connection: close"}
			}
			d := mustServe(t)
			d.follow(t, step{r, answers(200, "Received test event.", headers...)})
			d.wantRows(t)

			strict := mustServe(t, func(s *setup) { s.options.RejectUnsigned = true })
			strict.follow(t, step{r, answers(400, "Missing signature", headers...)})
			strict.wantRows(t)
		})
	}
}

func TestHandler_whatIsStored(t *testing.T) {
	t.Parallel()
	d := mustServe(t)
	const traceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	long := strings.Repeat("ä", 200) // 400 bytes, of which 124½ letters are within the bound
	d.follow(t,
		step{signed(bodyOf("e1")).and("Traceparent", traceParent), success},
		step{signed(bodyOf("e2")).with("User-Agent", "a\x80b\x9b31m"+long).and("User-Agent", "second"), success},
		step{signed(unexpectedEvent), unexpected})

	type kept struct {
		Key, EventName, TicketID, SignatureTimestamp, ContentType, UserAgent, TraceParent string
		ReceiveTime, NextAttemptTime                                                      int64
	}
	rows, err := d.database.QueryContext(t.Context(), "SELECT key, event_name, ticket_id, signature_timestamp, content_type, user_agent,"+
		" trace_parent, receive_time, coalesce(next_attempt_time, 0) FROM deliveries d JOIN payloads p ON p.delivery_id = d.id ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var got []kept
	for rows.Next() {
		var k kept
		if err := rows.Scan(&k.Key, &k.EventName, &k.TicketID, &k.SignatureTimestamp, &k.ContentType, &k.UserAgent, &k.TraceParent,
			&k.ReceiveTime, &k.NextAttemptTime); err != nil {
			t.Fatal(err)
		}
		got = append(got, k)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	now := epoch.UnixNano()
	want := []kept{
		{"ee1", "ticket.created", "t1", at(0), "application/json", "Allthings", traceParent, now, now},
		// 256 bytes of a header are kept, if they are valid text.
		{"ee2", "ticket.created", "t1", at(0), "application/json", "ab31m" + long[:248], "", now, now},
		{"ee3", "ticket.deleted", "t1", at(0), "application/json", "Allthings", "", now, 0},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what is kept (-want +got):\n%s", diff)
	}
}
