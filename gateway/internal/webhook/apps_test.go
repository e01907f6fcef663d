package webhook_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ticketbridge/ticketbridge/gateway/internal/signature"
)

// The secret of one App is not valid for the deliveries of another App, nor for deliveries that name no App. A delivery that is signed with
// it anyway is stored once, as rejected, even if its body would be rejected for another reason. The App's own delivery replaces it.
func TestHandler_secretsOfApps(t *testing.T) {
	t.Parallel()
	const other = "the-secret-of-another-app"
	const reason = "signed with a secret that is not for the App of event.urn"
	apps := func(s *setup) {
		s.secrets = []signature.Secret{{App: "a1", Key: secret}, {App: "a2", Key: other}, {Key: previousSecret}}
	}
	body := bodyOf("e1") // of the App a1
	ofOther, ofEvery := strings.Replace(body, ":a1:", ":a2:", 1), strings.Replace(body, ":a1:", ":*:", 1)
	unknown := strings.Replace(body, "created", "closed", 1)
	noID, noName := strings.Replace(body, `"id":"e1",`, "", 1), strings.Replace(body, `"name":"ticket.created",`, "", 1)
	by := func(key, body string) request { return signed(body).with(signatureHeader, sign(key, body)) }
	for name, test := range map[string]struct {
		body string
		key  string
		want answer
		kept row
	}{
		"its own":              {body, secret, success, pending("e1", body)},
		"for every App":        {body, previousSecret, success, pending("e1", body)},
		"of another App":       {body, other, unauthorized, rejected(reason, "e1", body)},
		"the App of its own":   {ofOther, other, success, pending("e1", ofOther)},
		"without an App":       {created("e1"), other, unauthorized, rejected(reason, "e1", created("e1"))},
		"every App":            {ofEvery, secret, unauthorized, rejected(reason, "e1", ofEvery)},
		"of an unknown kind":   {unknown, other, unauthorized, rejected(reason, "e1", unknown)},
		"without an event id":  {noID, other, unauthorized, rejected(reason, "", noID)},
		"without a name":       {noName, other, unauthorized, rejected(reason, "e1", noName)},
		"without an event":     {"{}", other, unauthorized, rejected(reason, "", "{}")},
		"its own, without id":  {noID, secret, malformed, rejected("event.id is missing", "", noID)},
		"that can't be read":   {"{", other, malformed, rejected("body is not valid JSON", "", "{")},
		"no App and for every": {created("e1"), previousSecret, success, pending("e1", created("e1"))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := mustServe(t, apps)
			d.forbid(other)
			r := by(test.key, test.body)
			d.follow(t, step{r, test.want}, step{r, test.want})
			d.wantRows(t, test.kept)
		})
	}
	t.Run("too old as well", func(t *testing.T) {
		t.Parallel()
		d := mustServe(t, apps)
		d.follow(t, step{by(other, body).with(timestampHeader, at(-time.Hour)), unauthorized})
		d.wantRows(t, rejected(reason, "e1", body))
		d.follow(t, step{by(secret, body), success}, step{by(other, body), unauthorized})
		d.wantRows(t, pending("e1", body))
	})
}

// created returns the body of a good event without a URN.
func created(id string) string {
	return `{"event":{"id":"` + id + `","name":"ticket.created","createdDate":"2026-03-02T07:15:30.123Z","data":{"id":"t1"}}}`
}
