package forwarder_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
)

func TestForwarder_logsAFormOfAFieldOnce(t *testing.T) {
	t.Parallel()
	b, s := newBox(t), newTicketsvc(nil)
	withForm := func(id string) string {
		return strings.Replace(body(id), `"title":"x"`, `"title":{"private":"x"},"phoneNumber":7,"commentCount":true`, 1)
	}
	for _, id := range []string{"e1", "e2", "e3"} {
		b.add(t, id, withForm(id))
	}
	var log bytes.Buffer
	stop := start(t, b, startServer(t, s), &log)
	b.waitUntil(t, allInState(inbox.Forwarded))
	stop()
	for text, want := range map[string]int{
		"level=WARN msg=\"a field can't be typed and is kept among the ticket's attributes; gateway explain shows more\" " +
			"field=data.title form=object count=1\n": 1,
		"field=data.commentCount form=boolean count=1\n": 1,
		"field=":  2, // None for phoneNumber, which could be read.
		"private": 0,
	} {
		if got := strings.Count(log.String(), text); got != want {
			t.Errorf("%q is %d times in the log, want %d:\n%s", text, got, want, log.String())
		}
	}
}

func TestForwarder_anEventFromTheFutureIsDead(t *testing.T) {
	t.Parallel()
	b, s := newBox(t), newTicketsvc(nil)
	b.add(t, "e1", strings.Replace(body("e1"), "2026-03-02", "9999-03-02", 1))
	start(t, b, startServer(t, s), io.Discard)
	const reason = "the event is dated more than 24h0m0s ahead of its receipt: correct the sender's clock or raise --future-tolerance, " +
		"then retry"
	rows := b.waitUntil(t, nonePending)
	if got := rows["e1"]; got.State != inbox.Dead || got.Reason != reason {
		t.Errorf("delivery = %+v", got)
	}
	if calls := s.callsOf("e1"); calls != 0 {
		t.Errorf("ticketsvc was called %d times", calls)
	}
}
