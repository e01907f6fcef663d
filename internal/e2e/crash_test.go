package e2e_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

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
	eventually(t, func(ctx context.Context) (bool, error) {
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

// TestStoppingUnderLoadLosesNothing stops each service with SIGTERM, one after the other, in the middle of a burst, and starts it again.
func TestStoppingUnderLoadLosesNothing(t *testing.T) {
	t.Parallel()
	const events = 3000
	for name, start := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// What a gateway that stops does not hand back would wait for its lease to run out, which is longer than this test does.
			s := start(t, "GATEWAY_FORWARD_TIMEOUT=1m")
			generated := simulator.Generate(2, events, simulator.GenerateOptions{})
			sending := s.send(t, simulator.Duplicate(simulator.Shuffle(generated, 0, 2), 0.1, 2))
			victims := s.services()
			for i, victim := range victims {
				sending.wait(t, events*(i+1)/(len(victims)+1))
				stop(t, victim)
				killAndRestart(t, victim) // there is nothing left to kill
				if cut, err := victim.logHas("cut off"); cut || err != nil {
					t.Errorf("%s cut something off, or can't be asked: %v", victim.address, err)
				}
			}
			s.expectRecorded(t, sending.finish(t, events))
		})
	}
}
