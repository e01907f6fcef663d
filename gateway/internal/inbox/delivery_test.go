package inbox_test

import (
	"crypto/sha256"
	"testing"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
)

func arrival(eventID, body, rejectReason string) *inbox.Arrival {
	return &inbox.Arrival{EventID: eventID, RejectReason: rejectReason, Body: []byte(body), BodyHash: sha256.Sum256([]byte(body))}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	kept := func(state inbox.State) *inbox.Kept {
		return &inbox.Kept{State: state, BodyHash: sha256.Sum256([]byte("body"))}
	}
	good, stale := arrival("1", "body", ""), arrival("1", "body", "stale")
	otherGood, otherStale := arrival("1", "other", ""), arrival("1", "other", "stale")
	tests := map[string]struct {
		kept    *inbox.Kept
		arrival *inbox.Arrival
		want    inbox.Action
	}{
		"a good one is new":                               {nil, good, inbox.Insert},
		"a refused one is new":                            {nil, stale, inbox.Insert},
		"a good one takes a refused one's place":          {kept(inbox.Rejected), good, inbox.Replace},
		"also with another body":                          {kept(inbox.Rejected), otherGood, inbox.Replace},
		"a refused one is kept once":                      {kept(inbox.Rejected), stale, inbox.Ignore},
		"a refused one with another body is kept as well": {kept(inbox.Rejected), otherStale, inbox.SetAside},
		"a duplicate of a pending one":                    {kept(inbox.Pending), good, inbox.Ignore},
		"a duplicate of a forwarded one":                  {kept(inbox.Forwarded), good, inbox.Ignore},
		"a duplicate of a dead one":                       {kept(inbox.Dead), good, inbox.Ignore},
		"a stale copy of a forwarded one":                 {kept(inbox.Forwarded), stale, inbox.Ignore},
		"the first body wins over a later one":            {kept(inbox.Pending), otherGood, inbox.SetAside},
		"also once it is forwarded":                       {kept(inbox.Forwarded), otherGood, inbox.SetAside},
		"also when the later one is stale":                {kept(inbox.Forwarded), otherStale, inbox.SetAside},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := inbox.Decide(test.kept, test.arrival); got != test.want {
				t.Errorf("Decide = %d, want %d", got, test.want)
			}
		})
	}
}

func TestKeysTellDeliveriesApart(t *testing.T) {
	t.Parallel()
	keys := map[inbox.Key]string{}
	for name, key := range map[string]inbox.Key{
		"an event":                       arrival("1", "body", "").Key(),
		"another event":                  arrival("2", "body", "").Key(),
		"a body":                         arrival("", "body", "").Key(),
		"another body":                   arrival("", "other", "").Key(),
		"an event whose id mimics a key": arrival(string(arrival("", "body", "").BodyKey()), "body", "").Key(),
	} {
		if other, taken := keys[key]; taken {
			t.Errorf("%s has the key of %s", name, other)
		}
		keys[key] = name
	}
	if arrival("1", "body", "").Key() != arrival("1", "other", "stale").Key() {
		t.Error("two deliveries of one event have different keys")
	}
	if arrival("1", "body", "").BodyKey() != arrival("", "body", "").Key() {
		t.Error("a body set aside is not found again as the body that it is")
	}
}
