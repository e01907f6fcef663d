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
	existing := func(state inbox.State) *inbox.Existing {
		return &inbox.Existing{State: state, BodyHash: sha256.Sum256([]byte("body"))}
	}
	good, stale := newIncoming("1", "body", ""), newIncoming("1", "body", "stale")
	otherGood, otherStale := newIncoming("1", "other", ""), newIncoming("1", "other", "stale")
	tests := map[string]struct {
		existing *inbox.Existing
		incoming *inbox.Incoming
		want     inbox.Action
	}{
		"a good one is new":                               {nil, good, inbox.Insert},
		"a refused one is new":                            {nil, stale, inbox.Insert},
		"a good one takes a refused one's place":          {existing(inbox.Rejected), good, inbox.Replace},
		"also with another body":                          {existing(inbox.Rejected), otherGood, inbox.Replace},
		"a refused one is kept once":                      {existing(inbox.Rejected), stale, inbox.Ignore},
		"a refused one with another body is kept as well": {existing(inbox.Rejected), otherStale, inbox.Conflict},
		"a duplicate of a pending one":                    {existing(inbox.Pending), good, inbox.Ignore},
		"a duplicate of a forwarded one":                  {existing(inbox.Forwarded), good, inbox.Ignore},
		"a duplicate of a dead one":                       {existing(inbox.Dead), good, inbox.Ignore},
		"a stale copy of a forwarded one":                 {existing(inbox.Forwarded), stale, inbox.Ignore},
		"the first body wins over a later one":            {existing(inbox.Pending), otherGood, inbox.Conflict},
		"also once it is forwarded":                       {existing(inbox.Forwarded), otherGood, inbox.Conflict},
		"also when the later one is stale":                {existing(inbox.Forwarded), otherStale, inbox.Conflict},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := inbox.Decide(test.existing, test.incoming); got != test.want {
				t.Errorf("Decide = %d, want %d", got, test.want)
			}
		})
	}
}

func TestKeysTellDeliveriesApart(t *testing.T) {
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
