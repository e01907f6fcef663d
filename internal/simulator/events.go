// Package simulator acts as Allthings, as a sender of webhooks: it generates tickets and their events, signs them, and delivers them as the
// provider documents it, with retries, duplicates and in any order.
//
// It is written only from the provider's contract and shares no code with the services, so that a misreading on one side is noticed.
package simulator

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"slices"
)

// Event is one event of a ticket, ready to be delivered.
type Event struct {
	// ID is the event's id, a UUID. For an event that was read from a file it is the path as given.
	ID string
	// TicketID is the id of the event's ticket. Empty for an event that was read from a file.
	TicketID string
	// Body is the JSON to post, byte for byte.
	Body []byte
	// Duplicate is set if the event came earlier in the sequence.
	Duplicate bool
}

// ReadFiles returns one event per file, with the file's bytes unchanged.
func ReadFiles(paths []string) ([]Event, error) {
	events := make([]Event, 0, len(paths))
	for _, path := range paths {
		body, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("reading an event: %w", err)
		}
		events = append(events, Event{ID: path, Body: body})
	}
	return events, nil
}

// Shuffle returns the events in a random order, determined by seed. With a window, that many events are held in memory. An event then comes
// at most that many positions too early, and rarely much more than that too late. With a window of 0 all events are held, and every order
// is equally likely.
func Shuffle(events iter.Seq[Event], window int, seed uint64) iter.Seq[Event] {
	return func(yield func(Event) bool) {
		random := newRandom(seed, shuffleStream)
		var held []Event
		for event := range events {
			if window <= 0 || len(held) < window {
				held = append(held, event)
				continue
			}
			i := random.IntN(len(held))
			if !yield(held[i]) {
				return
			}
			held[i] = event
		}
		random.Shuffle(len(held), func(i, j int) { held[i], held[j] = held[j], held[i] })
		for _, event := range held {
			if !yield(event) {
				return
			}
		}
	}
}

// duplicateSpan is the maximum number of events between an event and its duplicate. It bounds the number of duplicates in memory.
const duplicateSpan = 1000

// Duplicate repeats a share of the events, from 0 for none to 1 for all. Each is repeated at a random later position, determined by seed:
// up to 1000 events later, or at the end if the sequence ends before.
func Duplicate(events iter.Seq[Event], share float64, seed uint64) iter.Seq[Event] {
	return func(yield func(Event) bool) {
		random := newRandom(seed, duplicateStream)
		// due[i%duplicateSpan] are the duplicates that come after event i.
		var due [duplicateSpan][]Event
		index := 0
		flush := func() bool {
			slot := &due[index%duplicateSpan]
			index++
			for _, event := range *slot {
				if !yield(event) {
					return false
				}
			}
			*slot = (*slot)[:0]
			return true
		}
		for event := range events {
			if !yield(event) || !flush() {
				return
			}
			if random.Float64() < share {
				event.Duplicate = true
				slot := (index + random.IntN(duplicateSpan)) % duplicateSpan
				due[slot] = append(due[slot], event)
			}
		}
		for range duplicateSpan {
			if !flush() {
				return
			}
		}
	}
}

// Each use of randomness has its own stream of the seed, so that asking for duplicates does not change the events.
const (
	generateStream = iota + 1
	shuffleStream
	duplicateStream
	backoffStream
)

//nolint:gosec // It draws generated events, and is no secret.
func newRandom(seed, stream uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, stream)) }

// pick returns one of the choices.
func pick[T any](random *rand.Rand, choices []T) T { return choices[random.IntN(len(choices))] }

// pickOther returns one of the choices other than current. There are at least two choices, and current must be one of them.
func pickOther(random *rand.Rand, choices []string, current string) string {
	i := slices.Index(choices, current)
	return choices[(i+1+random.IntN(len(choices)-1))%len(choices)]
}
