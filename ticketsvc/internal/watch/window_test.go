package watch_test

import (
	"testing"
	"testing/synctest"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/watch"
)

// TestWindow_weighsElements has tickets that are small as they are stored, and large in memory.
func TestWindow_weighsElements(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		log.elements = 10_000
		limits := watch.DefaultLimits()
		limits.WindowBytes = 2*(ticket.Weight{Elements: log.elements}).Memory() + 1000
		f := newFeed(t, log, limits)
		w := mustWatch(t, f, ticket.Filter{}, nil)
		expect(t, w, "heartbeat")
		synctest.Wait()
		log.record(updated("a1", "a", "open"), updated("b1", "b", "open"), updated("c1", "c", "open"))
		expect(t, w, "a by a1 is open", "b by b1 is open", "c by c1 is open")
		if entries, bytes := f.WindowSize(); entries != 2 || bytes > limits.WindowBytes {
			t.Errorf("the window has %d entries with %d bytes, want 2 with at most %d", entries, bytes, limits.WindowBytes)
		}
	})
}
