package webhook_test

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"errors"
	"testing"

	"github.com/ticketbridge/ticketbridge/gateway/internal/event"
	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
)

// FuzzHandler posts any signed body. It must be either acknowledged and forwarded later, or refused as malformed, and kept in both cases.
//
// The coverage also depends on the handler's goroutines, so that inputs seem interesting that are not. With -fuzzminimizetime=1x no time is
// lost on minimizing them.
func FuzzHandler(f *testing.F) {
	for _, body := range corpus(f) {
		f.Add([]byte(body))
	}
	for _, body := range []string{
		"", "null", "[]", "{}", bodyOf("e1"), bodyOf("e1") + " ", bodyOf("E1"), bodyOf(`\u001b[31m`), unexpectedEvent,
		"\xef\xbb\xbf" + bodyOf("e1"),
		eventWith("e1", `"n":9007199254740993`), eventWith("e2", `"title":"\u0000\ud800\r\n"`), eventWith("e3", `"token":"`+accessToken+`"`),
		eventWith("e3", `"token":"`+accessToken+"\x15"+`","x":1`), eventWith("e3", `"token":"`+accessToken+`","x":1`),
		`{"event":{"id":"e4","name":"ticket.updated","data":{"token":[1`, `{"event":{"id":"e5","id":"e6"}}`,
	} {
		f.Add([]byte(body))
	}
	d := mustServe(f)
	p := mustOpenPoster(f, 1)
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > maxBody {
			t.Skip("refused by its size")
		}
		status, text, err := p.post(t, d, string(body))
		if err != nil {
			t.Fatalf("no answer: %v", err)
		}
		kept := event.Redact(body)
		hash := sha256.Sum256(kept)
		var state inbox.State
		var reason string
		err = d.database.QueryRowContext(t.Context(), "SELECT state, reason FROM deliveries d JOIN payloads p ON p.delivery_id = d.id"+
			" WHERE body_hash = ?", hash[:]).Scan(&state, &reason)
		if errors.Is(err, sql.ErrNoRows) {
			t.Fatalf("answered %d, but not kept", status)
		} else if err != nil {
			t.Fatal(err)
		}
		// Bodies that differ only in a token are kept as one, even if the token made one of them malformed.
		redacted := !bytes.Equal(kept, body)
		switch {
		case status == 200 && text == success.Body:
			if !redacted && state != inbox.Pending && (state != inbox.Rejected || reason != inbox.ReasonOtherBody) {
				t.Errorf("acknowledged, but kept as %v for the reason %q", state, reason)
			}
		case status == 400 && (text == malformed.Body || text == unexpected.Body):
			if !redacted && (state != inbox.Rejected || reason == "" || reason == inbox.ReasonOtherBody) {
				t.Errorf("refused, but kept as %v for the reason %q", state, reason)
			}
		default:
			t.Errorf("answer %d %s", status, text)
		}
	})
}
