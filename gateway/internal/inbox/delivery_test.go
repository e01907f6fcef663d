package inbox_test

import (
	"crypto/sha256"
	"testing"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
)

func newIncoming(eventID, body, rejectReason string) *inbox.Incoming {
	return &inbox.Incoming{EventID: eventID, RejectReason: rejectReason, Body: []byte(body), BodyHash: sha256.Sum256([]byte(body))}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	existing := func(state inbox.State, body string) *inbox.Existing {
		return &inbox.Existing{State: state, BodyHash: sha256.Sum256([]byte(body))}
	}
	good, stale := newIncoming("1", "body", ""), newIncoming("1", "body", "stale")
	otherGood, otherStale := newIncoming("1", "other", ""), newIncoming("1", "other", "stale")
	rejected, pending := existing(inbox.Rejected, "body"), existing(inbox.Pending, "body")
	forwarded, dead := existing(inbox.Forwarded, "body"), existing(inbox.Dead, "body")
	aside, retried := existing(inbox.Rejected, "other"), existing(inbox.Pending, "other")
	tests := map[string]struct {
		existing, sameBody *inbox.Existing
		incoming           *inbox.Incoming
		want               inbox.Action
	}{
		"a good one is new":                                {nil, nil, good, inbox.Insert},
		"a rejected one is new":                            {nil, nil, stale, inbox.Insert},
		"a good one takes a rejected one's place":          {rejected, nil, good, inbox.Replace},
		"also with another body":                           {rejected, nil, otherGood, inbox.Replace},
		"also if its body is set aside":                    {rejected, aside, otherGood, inbox.Replace},
		"a rejected one is kept once":                      {rejected, nil, stale, inbox.Ignore},
		"a rejected one with another body is kept as well": {rejected, nil, otherStale, inbox.Conflict},
		"but once":                             {rejected, aside, otherStale, inbox.Ignore},
		"a duplicate of a pending one":         {pending, nil, good, inbox.Ignore},
		"a duplicate of a forwarded one":       {forwarded, nil, good, inbox.Ignore},
		"a duplicate of a dead one":            {dead, nil, good, inbox.Ignore},
		"a stale copy of a forwarded one":      {forwarded, nil, stale, inbox.Ignore},
		"the first body wins over a later one": {pending, nil, otherGood, inbox.Conflict},
		"also once it is forwarded":            {forwarded, nil, otherGood, inbox.Conflict},
		"also when the later one is stale":     {forwarded, nil, otherStale, inbox.Conflict},
		"the later one is kept once":           {pending, aside, otherGood, inbox.Ignore},
		"also when that one was retried":       {forwarded, retried, otherGood, inbox.Ignore},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := inbox.Decide(test.existing, test.sameBody, test.incoming); got != test.want {
				t.Errorf("Decide = %d, want %d", got, test.want)
			}
		})
	}
}

func TestIncoming_Key_tellsDeliveriesApart(t *testing.T) {
	t.Parallel()
	keys := map[inbox.Key]string{}
	for name, key := range map[string]inbox.Key{
		"an event":                       newIncoming("1", "body", "").Key(),
		"another event":                  newIncoming("2", "body", "").Key(),
		"a body":                         newIncoming("", "body", "").Key(),
		"another body":                   newIncoming("", "other", "").Key(),
		"an event whose id mimics a key": newIncoming(string(newIncoming("", "body", "").BodyKey()), "body", "").Key(),
	} {
		if other, taken := keys[key]; taken {
			t.Errorf("%s has the key of %s", name, other)
		}
		keys[key] = name
	}
	if newIncoming("1", "body", "").Key() != newIncoming("1", "other", "stale").Key() {
		t.Error("two deliveries of one event have different keys")
	}
	if newIncoming("1", "body", "").BodyKey() != newIncoming("", "body", "").Key() {
		t.Error("a body set aside is not found again as the body that it is")
	}
}
