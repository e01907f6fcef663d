package ticket_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// recordingStore counts the batches that it gets, and returns the results of recorded. It sends on begun when it is called, and then waits
// for release.
type recordingStore struct {
	ticket.Store
	begun, release chan struct{}
	recorded       func(ticket.Change) ticket.AppendResult
	err            error
	batches        int
}

func (s *recordingStore) Append(_ context.Context, changes []ticket.Change) ([]ticket.AppendResult, error) {
	if s.begun != nil {
		s.begun <- struct{}{}
		<-s.release
	}
	s.batches++
	recorded := make([]ticket.AppendResult, len(changes))
	for i := range changes {
		if s.recorded != nil {
			recorded[i] = s.recorded(changes[i])
		}
	}
	return recorded, s.err
}

func mustStop(t *testing.T, r *ticket.Ingester) {
	t.Helper()
	if err := r.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestIngester_Append_reportsEachResult(t *testing.T) {
	t.Parallel()
	store := &recordingStore{recorded: func(c ticket.Change) ticket.AppendResult {
		switch c.EventID {
		case "again":
			return ticket.AppendResult{Duplicate: true}
		case "bad":
			return ticket.AppendResult{Err: ticket.ErrCorrupt}
		default:
			return ticket.AppendResult{}
		}
	}}
	ingester := ticket.NewIngester(store)
	for eventID, want := range map[string]ticket.AppendResult{"new": {}, "again": {Duplicate: true}, "bad": {Err: ticket.ErrCorrupt}} {
		recorded, err := ingester.Append(t.Context(), ticket.Change{EventID: eventID, TicketID: "t"})
		if recorded.Duplicate != want.Duplicate || !errors.Is(err, want.Err) {
			t.Errorf("Record(%s) = %v, %v; want %+v", eventID, recorded, err, want)
		}
		if err != nil && !strings.Contains(err.Error(), `event "bad" of ticket "t"`) {
			t.Errorf("error %v, want one that names the event and the ticket", err)
		}
	}
	mustStop(t, ingester)
	if _, err := ingester.Append(t.Context(), ticket.Change{EventID: "late"}); !errors.Is(err, ticket.ErrStopping) {
		t.Errorf("Record after Stop: %v, want ErrStopping", err)
	}
}

func TestIngester_Append_sharesCommitsAndRefusesTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const maxBatch, maxQueue = 256, 4096
		store := &recordingStore{begun: make(chan struct{}), release: make(chan struct{})}
		ingester := ticket.NewIngester(store)
		var callers sync.WaitGroup
		record := func(i int) {
			callers.Go(func() {
				if _, err := ingester.Append(t.Context(), ticket.Change{EventID: fmt.Sprint(i)}); err != nil {
					t.Error(err)
				}
			})
		}
		record(0)
		<-store.begun
		for i := range maxQueue {
			record(i + 1)
		}
		synctest.Wait()
		if _, err := ingester.Append(t.Context(), ticket.Change{EventID: "one too many"}); !errors.Is(err, ticket.ErrTooManyWaiting) {
			t.Errorf("Record with a full queue: %v, want ErrBusy", err)
		}
		close(store.release)
		go func() {
			for range store.begun {
			}
		}()
		callers.Wait()
		close(store.begun)
		mustStop(t, ingester)
		if want := 1 + maxQueue/maxBatch; store.batches != want {
			t.Errorf("%d commits, want %d: one that was at hand, and full ones", store.batches, want)
		}
	})
}

func TestIngester_Append_databaseAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			err  error
			want int
		}{{ticket.ErrUnavailable, 2}, {errors.New("of one of them, perhaps"), 5}} {
			store := &recordingStore{begun: make(chan struct{}), release: make(chan struct{}), err: test.err}
			ingester := ticket.NewIngester(store)
			var callers sync.WaitGroup
			for i := range 4 {
				callers.Go(func() {
					if _, err := ingester.Append(t.Context(), ticket.Change{EventID: fmt.Sprint(i)}); !errors.Is(err, test.err) {
						t.Errorf("Record = %v, want %v", err, test.err)
					}
				})
				if i == 0 {
					<-store.begun
				}
			}
			synctest.Wait()
			close(store.release)
			go func() {
				for range store.begun {
				}
			}()
			callers.Wait()
			close(store.begun)
			mustStop(t, ingester)
			if store.batches != test.want {
				t.Errorf("%d batches after %v, want %d", store.batches, test.err, test.want)
			}
		}
	})
}

func TestIngester_AppendAll_reportsEachResult(t *testing.T) {
	t.Parallel()
	store := &recordingStore{recorded: func(c ticket.Change) ticket.AppendResult {
		switch c.EventID {
		case "again":
			return ticket.AppendResult{Duplicate: true}
		case "bad":
			return ticket.AppendResult{Err: ticket.ErrCorrupt}
		default:
			return ticket.AppendResult{}
		}
	}}
	ingester := ticket.NewIngester(store)
	changes := []ticket.Change{{EventID: "new", TicketID: "t"}, {EventID: "again", TicketID: "t"}, {EventID: "bad", TicketID: "t"},
		{EventID: "newer", TicketID: "t"}}
	recorded, err := ingester.AppendAll(t.Context(), changes)
	if err != nil || len(recorded) != len(changes) {
		t.Fatalf("%d results, %v", len(recorded), err)
	}
	if none := (ticket.AppendResult{}); recorded[0] != none || recorded[1] != (ticket.AppendResult{Duplicate: true}) || recorded[3] != none {
		t.Errorf("results %+v", recorded)
	}
	if err := recorded[2].Err; !errors.Is(err, ticket.ErrCorrupt) || !strings.Contains(err.Error(), `event "bad" of ticket "t"`) {
		t.Errorf("the bad one: %v, want ErrCorrupt with the event and the ticket", err)
	}
	mustStop(t, ingester)
	if recorded, err = ingester.AppendAll(t.Context(), changes[:1]); err != nil || !errors.Is(recorded[0].Err, ticket.ErrStopping) {
		t.Errorf("after Stop: %+v, %v; want ErrStopping", recorded, err)
	}
}

// TestIngester_AppendAll_fullQueue has the maximum number of waiting events, and one more.
func TestIngester_AppendAll_fullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const maxQueue = 4096
		store := &recordingStore{begun: make(chan struct{}), release: make(chan struct{})}
		ingester := ticket.NewIngester(store)
		var callers sync.WaitGroup
		callers.Go(func() { _, _ = ingester.Append(t.Context(), ticket.Change{}) })
		<-store.begun
		var recorded []ticket.AppendResult
		callers.Go(func() {
			var err error
			if recorded, err = ingester.AppendAll(t.Context(), make([]ticket.Change, maxQueue+1)); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		close(store.release)
		go func() {
			for range store.begun {
			}
		}()
		callers.Wait()
		close(store.begun)
		mustStop(t, ingester)
		for i, r := range recorded {
			if errors.Is(r.Err, ticket.ErrTooManyWaiting) != (i == maxQueue) {
				t.Fatalf("event %d: %+v, want that the last one alone is refused", i, r)
			}
		}
	})
}

// TestIngester_AppendAll_deferredEvents has a store that records only one event of each batch.
func TestIngester_AppendAll_deferredEvents(t *testing.T) {
	t.Parallel()
	batch, store := -1, &recordingStore{}
	store.recorded = func(ticket.Change) ticket.AppendResult {
		isFirst := batch != store.batches
		batch = store.batches
		return ticket.AppendResult{Deferred: !isFirst}
	}
	ingester := ticket.NewIngester(store)
	recorded, err := ingester.AppendAll(t.Context(), make([]ticket.Change, 9))
	if err != nil || len(recorded) != 9 {
		t.Fatalf("%d results, %v", len(recorded), err)
	}
	for i, r := range recorded {
		if r != (ticket.AppendResult{}) {
			t.Errorf("event %d: %+v", i, r)
		}
	}
	mustStop(t, ingester)
	if store.batches != 9 {
		t.Errorf("%d batches", store.batches)
	}
}
