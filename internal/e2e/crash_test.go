package e2e_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ticketbridge/ticketbridge/internal/simulator"
)

// burst is how many events come while services crash.
const burst = 5000

// TestNothingIsLostOrAppliedTwiceAcrossCrashes kills one of the services, several times, in the middle of a burst.
func TestNothingIsLostOrAppliedTwiceAcrossCrashes(t *testing.T) {
	t.Parallel()
	for name, victims := range map[string]func(*system) []*service{
		"gateway":   func(s *system) []*service { return []*service{s.gateway, s.gateway, s.gateway} },
		"ticketsvc": func(s *system) []*service { return []*service{s.ticketsvc, s.ticketsvc, s.ticketsvc} },
		"both":      func(s *system) []*service { return []*service{s.ticketsvc, s.gateway, s.ticketsvc, s.gateway} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSystem(t)
			crashes := victims(s)
			var acknowledged recorder
			events := simulator.Generate(1, burst, simulator.GenerateOptions{})
			progress := make(chan struct{}, 1)
			var count atomic.Int64
			sent := make(chan error, 1)
			go func() {
				summary, err := simulator.Send(t.Context(), simulator.Duplicate(simulator.Shuffle(events, 0, 1), 0.1, 1), simulator.Options{
					URLs: []string{s.webhookURL()}, Secret: secret, Concurrency: 64, RetryBase: 20 * time.Millisecond, RetryMax: 500 * time.Millisecond,
					GiveUpAfter: 2 * time.Minute,
					OnAcknowledged: func(e simulator.Event) {
						acknowledged.add(e)
						count.Add(1)
						select {
						case progress <- struct{}{}:
						default:
						}
					},
				})
				if err == nil && summary.Acknowledged != burst {
					err = fmt.Errorf("%d of %d events were acknowledged", summary.Acknowledged, burst)
				}
				sent <- err
			}()
			for i, victim := range crashes {
				// The crashes are spread over the burst.
				for count.Load() < int64(burst*(i+1)/(len(crashes)+1)) {
					<-progress
				}
				killAndRestart(t, victim)
			}
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
			s.expectRecorded(t, acknowledged.byTicket())
		})
	}
}

// recorder remembers events.
type recorder struct {
	mu     sync.Mutex
	events map[string]map[string]bool // ticket id, event id
}

func (r *recorder) add(e simulator.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.events == nil {
		r.events = map[string]map[string]bool{}
	}
	if r.events[e.TicketID] == nil {
		r.events[e.TicketID] = map[string]bool{}
	}
	r.events[e.TicketID][e.ID] = true
}

// byTicket returns the sorted ids of each ticket's events.
func (r *recorder) byTicket() map[string][]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	sorted := map[string][]string{}
	for ticketID, events := range r.events {
		sorted[ticketID] = slices.Sorted(maps.Keys(events))
	}
	return sorted
}

// expectRecorded waits until as many events are recorded as there are in want, and fails unless they are exactly those, each once.
func (s *system) expectRecorded(t *testing.T, want map[string][]string) {
	t.Helper()
	total := 0
	for _, events := range want {
		total += len(events)
	}
	eventually(t, time.Minute, func(ctx context.Context) (bool, error) {
		got, err := s.recorded(ctx)
		if err == nil && got < total {
			err = fmt.Errorf("%d of %d events are recorded", got, total)
		}
		return err == nil, err
	})
	tickets, err := s.allTickets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for id, ticket := range tickets {
		events, err := s.eventIDs(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if int64(len(events)) != ticket.GetRevision() {
			t.Errorf("ticket %s has %d events and revision %d", id, len(events), ticket.GetRevision())
		}
		slices.Sort(events)
		got[id] = events
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("acknowledged (-) against recorded (+):\n%s", diff)
	}
}

// TestStoppingUnderLoadLosesNothing stops each service with SIGTERM while events come in.
func TestStoppingUnderLoadLosesNothing(t *testing.T) {
	t.Parallel()
	const events = 2000
	s := newSystem(t)
	var acknowledged recorder
	half := make(chan struct{})
	var count atomic.Int64
	sent := make(chan error, 1)
	go func() {
		_, err := simulator.Send(t.Context(), simulator.Generate(2, events, simulator.GenerateOptions{}), simulator.Options{
			URLs: []string{s.webhookURL()}, Secret: secret, Concurrency: 64, RetryBase: 20 * time.Millisecond, RetryMax: 500 * time.Millisecond,
			OnAcknowledged: func(e simulator.Event) {
				acknowledged.add(e)
				if count.Add(1) == events/2 {
					close(half)
				}
			},
		})
		sent <- err
	}()
	<-half
	for _, victim := range []*service{s.gateway, s.ticketsvc} {
		stop(t, victim)
		killAndRestart(t, victim) // there is nothing left to kill
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	s.expectRecorded(t, acknowledged.byTicket())
}
