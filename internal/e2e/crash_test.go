package e2e_test

import (
	"context"
	"fmt"
	"slices"
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
		"gateway":   func(s *system) []*service { return []*service{s.gateways[0], s.gateways[0], s.gateways[0]} },
		"ticketsvc": func(s *system) []*service { return []*service{s.ticketsvcs[0], s.ticketsvcs[0], s.ticketsvcs[0]} },
		"both": func(s *system) []*service {
			return []*service{s.ticketsvcs[0], s.gateways[0], s.ticketsvcs[0], s.gateways[0]}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSystem(t)
			crashes := victims(s)
			events := simulator.Generate(1, burst, simulator.GenerateOptions{})
			sending := s.send(t, simulator.Duplicate(simulator.Shuffle(events, 0, 1), 0.1, 1))
			for i, victim := range crashes {
				// The crashes are spread over the burst.
				sending.wait(t, burst*(i+1)/(len(crashes)+1))
				killAndRestart(t, victim)
			}
			acknowledged := sending.finish(t, burst)
			s.expectRecorded(t, acknowledged)
		})
	}
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
	sending := s.send(t, simulator.Generate(2, events, simulator.GenerateOptions{}))
	sending.wait(t, events/2)
	for _, victim := range []*service{s.gateways[0], s.ticketsvcs[0]} {
		stop(t, victim)
		killAndRestart(t, victim) // there is nothing left to kill
	}
	s.expectRecorded(t, sending.finish(t, events))
}
