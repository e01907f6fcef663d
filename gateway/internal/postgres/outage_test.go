package postgres_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox/inboxtest"
	"github.com/ticketbridge/ticketbridge/gateway/internal/postgres"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
)

const lease = time.Minute

func mustAdd(t *testing.T, store inbox.Store, incoming ...inbox.Incoming) []inbox.Action {
	t.Helper()
	actions, err := store.Add(t.Context(), incoming)
	if err != nil {
		t.Fatal(err)
	}
	return actions
}

func mustClaim(t *testing.T, store inbox.Store, now time.Time) []inbox.Delivery {
	t.Helper()
	claimed, err := store.Claim(t.Context(), now, lease, 100)
	if err != nil {
		t.Fatal(err)
	}
	return claimed
}

func mustFinish(t *testing.T, store inbox.Store, outcomes ...inbox.Outcome) (lost int) {
	t.Helper()
	lost, err := store.Finish(t.Context(), inboxtest.Epoch, outcomes)
	if err != nil {
		t.Fatal(err)
	}
	return lost
}

func forwarded(claimed []inbox.Delivery) []inbox.Outcome {
	outcomes := make([]inbox.Outcome, len(claimed))
	for i, d := range claimed {
		outcomes[i] = inbox.Outcome{Lease: d.Lease, State: inbox.Forwarded}
	}
	return outcomes
}

func wantStates(t *testing.T, url string, want map[inbox.State]int) {
	t.Helper()
	if diff := cmp.Diff(want, states(t, url)); diff != "" {
		t.Error(diff)
	}
}

func TestStore_answerToACommitIsLost(t *testing.T) {
	t.Parallel()
	url := postgresql.Database(t)
	p, through := postgresql.NewProxy(t, url)
	store := mustOpen(t, through)
	for name, refuse := range map[string]bool{"the server is there again at once": false, "the server stays away": true} {
		// The name distinguishes the events of the two rounds.
		incoming := []inbox.Incoming{inboxtest.Incoming(name, name), inboxtest.Incoming("stale "+name, name)}
		incoming[1].RejectReason = "stale"
		kept := []inbox.Action{inbox.Ignore, inbox.Ignore}
		wantErr := func(err error) {
			t.Helper()
			if !p.Restore() || refuse != errors.Is(err, inbox.ErrUnavailable) || !refuse && err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}

		p.Cut(postgresql.Cut{Times: 1, Before: postgresql.Committed, Refuse: refuse})
		actions, err := store.Add(t.Context(), incoming)
		wantErr(err)
		if err == nil && !slices.Equal(actions, kept) {
			t.Errorf("%s: actions %v, want %v: it was done the first time", name, actions, kept)
		}
		if again := mustAdd(t, store, incoming...); !slices.Equal(again, kept) {
			t.Errorf("%s: adding it again: actions %v, want %v", name, again, kept)
		}

		p.Cut(postgresql.Cut{Times: 1, Before: postgresql.Committed, Refuse: refuse})
		_, err = store.Claim(t.Context(), inboxtest.Epoch, lease, 100)
		wantErr(err)
		if claimed := mustClaim(t, store, inboxtest.Epoch); len(claimed) != 0 {
			t.Errorf("%s: claimed what is leased to nobody knows whom", name)
		}
		claimed := mustClaim(t, store, inboxtest.Epoch.Add(lease))
		if len(claimed) != 1 {
			t.Fatalf("%s: claimed %d after the lease, want 1", name, len(claimed))
		}

		p.Cut(postgresql.Cut{Times: 1, Before: postgresql.Committed, Refuse: refuse})
		_, err = store.Finish(t.Context(), inboxtest.Epoch, forwarded(claimed))
		wantErr(err)
		if lost := mustFinish(t, store, forwarded(claimed)...); lost != 1 {
			t.Errorf("%s: finishing it again: lost %d, want 1", name, lost)
		}
	}
	wantStates(t, url, map[inbox.State]int{inbox.Forwarded: 2, inbox.Rejected: 2})
}

func TestStore_connectionBreaksAtAnyMoment(t *testing.T) {
	t.Parallel()
	url := postgresql.Database(t)
	p, through := postgresql.NewProxy(t, url)
	store := mustOpen(t, through)
	other := mustOpen(t, url)
	mustAdd(t, store, inboxtest.Incoming("0", "zero"))
	mustFinish(t, store, forwarded(mustClaim(t, store, inboxtest.Epoch))...)
	now := inboxtest.Epoch
	deliveries := 1
	// eachMoment cuts the connection before the first message that call gets, before the second, and so on until call gets no more.
	eachMoment := func(name string, call func(moment int) error, after func(moment int)) {
		t.Helper()
		for moment := 1; !t.Failed(); moment++ {
			left := moment
			p.Cut(postgresql.Cut{Times: 1, Before: func([]byte) bool { left--; return left == 0 }, Refuse: true})
			err := call(moment)
			wasCut := p.Restore()
			if err != nil && !errors.Is(err, inbox.ErrUnavailable) || err == nil && wasCut {
				t.Errorf("%s, cut at message %d: %v", name, moment, err)
			}
			after(moment)
			if !wasCut {
				t.Logf("%s gets %d messages", name, moment-1)
				return
			}
		}
	}

	batch := func(moment int) []inbox.Incoming {
		event := fmt.Sprint("event ", moment)
		stale := inboxtest.Incoming(event, "stale "+event)
		stale.RejectReason = "stale"
		return []inbox.Incoming{stale, inboxtest.Incoming("0", "zero"), inboxtest.Incoming(event, event),
			inboxtest.Incoming(event, "other "+event)}
	}
	whole := []inbox.Action{inbox.Insert, inbox.Ignore, inbox.Replace, inbox.Conflict}
	kept := []inbox.Action{inbox.Conflict, inbox.Ignore, inbox.Ignore, inbox.Ignore}
	eachMoment("Add", func(moment int) error {
		_, err := store.Add(t.Context(), batch(moment))
		return err
	}, func(moment int) {
		again := mustAdd(t, store, batch(moment)...)
		if !slices.Equal(again, whole) && !slices.Equal(again, kept) {
			t.Errorf("adding it again: %v, want %v or %v", again, whole, kept)
		}
		deliveries++
	})

	var claimed []inbox.Delivery
	eachMoment("Claim", func(int) error {
		_, err := store.Claim(t.Context(), now, lease, 1000)
		return err
	}, func(int) {
		now = now.Add(lease)
		claimed = claimAll(t, other, now, deliveries-1)
		now = now.Add(lease)
	})

	eachMoment("Finish", func(int) error {
		_, err := store.Finish(t.Context(), now, forwarded(claimed[:min(3, len(claimed))]))
		return err
	}, func(int) {
		n := min(3, len(claimed))
		if lost := mustFinish(t, other, forwarded(claimed[:n])...); lost != 0 && lost != n {
			t.Errorf("finishing again lost %d of %d", lost, n)
		}
		claimed = claimed[n:]
	})
	mustFinish(t, other, forwarded(claimed)...)
	if got := states(t, url); got[inbox.Pending] != 0 || got[inbox.Forwarded] != deliveries {
		t.Errorf("%d events left %v", deliveries, got)
	}
}

// claimAll claims until it has all deliveries. A call that was cut off may hold some of them for another moment.
func claimAll(t *testing.T, store inbox.Store, now time.Time, want int) (claimed []inbox.Delivery) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); len(claimed) < want && time.Now().Before(deadline); {
		claimed = append(claimed, mustClaim(t, store, now)...)
	}
	if len(claimed) != want {
		t.Fatalf("claimed %d, want %d", len(claimed), want)
	}
	return claimed
}

func TestStore_replacesConnectionsThatTheServerEnded(t *testing.T) {
	t.Parallel()
	url := postgresql.Database(t)
	store := mustOpen(t, url)
	end := func() {
		postgresql.Execute(t, url, "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"+
			" WHERE application_name = 'gateway' AND datname = current_database()")
	}
	for i := range 3 {
		end()
		mustAdd(t, store, inboxtest.Incoming(fmt.Sprint(i), fmt.Sprint(i)))
		end()
		claimed := mustClaim(t, store, inboxtest.Epoch)
		end()
		if lost := mustFinish(t, store, forwarded(claimed)...); lost != 0 || len(claimed) != 1 {
			t.Errorf("claimed %d and lost %d, want 1 and 0", len(claimed), lost)
		}
		end()
		// A query that finds its connection lost may return an error once.
		for name, ask := range map[string]func() error{
			"NextDue": func() error { _, _, err := store.NextDue(t.Context()); return err },
			"Ping":    func() error { return store.Ping(t.Context()) },
		} {
			if err := ask(); err != nil && !errors.Is(err, inbox.ErrUnavailable) {
				t.Errorf("%s = %v, want ErrUnavailable at the worst", name, err)
			}
		}
	}
}

func TestStore_serverCrashLosesNothing(t *testing.T) {
	t.Parallel()
	const cycles, perCycle, adders = 3, 150, 4
	server := postgresql.Server(t, nil)
	url := server.URL("postgres")
	store := mustOpen(t, url)
	var mu sync.Mutex
	var acknowledged []inbox.Incoming
	for cycle := range cycles {
		var group sync.WaitGroup
		killed := sync.OnceFunc(server.Kill)
		for adder := range adders {
			group.Go(func() {
				for i := 0; ; i++ {
					a := inboxtest.Incoming(fmt.Sprintf("%d of %d in %d", i, adder, cycle), "body")
					if _, err := store.Add(t.Context(), []inbox.Incoming{a}); err != nil {
						if !errors.Is(err, inbox.ErrUnavailable) {
							t.Errorf("Add = %v, want ErrUnavailable", err)
						}
						return
					}
					mu.Lock()
					acknowledged = append(acknowledged, a)
					enough := len(acknowledged) > (cycle+1)*perCycle
					mu.Unlock()
					if enough {
						killed()
					}
				}
			})
		}
		group.Wait()
		if err := server.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		dead := finishOneAsDead(t, store, acknowledged)
		server.Kill()
		if err := server.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := states(t, url)[inbox.Dead]; n != cycle+1 {
			t.Errorf("%d dead deliveries after the crash, want %d, among them that of event %s", n, cycle+1, dead)
		}
	}
	for _, action := range mustAdd(t, store, acknowledged...) {
		if action == inbox.Insert {
			t.Error("an event that was acknowledged is gone")
		}
	}
}

// finishOneAsDead claims everything, finishes one delivery as dead, and returns its event.
func finishOneAsDead(t *testing.T, store *postgres.Store, among []inbox.Incoming) (eventID string) {
	t.Helper()
	if len(among) == 0 {
		t.Fatal("nothing was acknowledged")
	}
	claimed := mustClaim(t, store, inboxtest.Epoch.Add(time.Duration(len(among))*lease))
	d := claimed[0]
	if lost := mustFinish(t, store, inbox.Outcome{Lease: d.Lease, State: inbox.Dead, Reason: "hopeless"}); lost != 0 {
		t.Error("the outcome is lost")
	}
	return d.EventID
}
