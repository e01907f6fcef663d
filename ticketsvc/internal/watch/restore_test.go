package watch_test

import (
	"errors"
	"testing"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/watch"
)

// last returns the place of the last of so many messages to a watcher that begins behind from.
func last(t *testing.T, f *watch.Feed, from *watch.ResumePoint, messages int) watch.ResumePoint {
	t.Helper()
	w := mustWatch(t, f, ticket.Filter{}, from)
	defer w.Close()
	var place watch.ResumePoint
	for range messages {
		m, err := w.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		place = m.ResumePoint
	}
	return place
}

func expectNoPlace(t *testing.T, log *memory, place watch.ResumePoint) {
	t.Helper()
	w, err := newFeed(t, log, watch.DefaultLimits()).Watch(t.Context(), "caller", ticket.Filter{}, &place)
	if err == nil {
		w.Close()
	}
	if !errors.Is(err, watch.ErrNotInLog) {
		t.Errorf("Watch = %v, want ErrNotInLog", err)
	}
}

// The sender delivers again what the backup has not, so that the same event stands at the same place, behind another one.
func TestFeed_Watch_restoredLogWithTheSameEvent(t *testing.T) {
	t.Parallel()
	log := newMemory()
	log.record(updated("a", "t", "open"))
	restored := log.backup()
	log.record(updated("b", "t", "open"), updated("c", "t", "open"))
	place := last(t, newFeed(t, log, watch.DefaultLimits()), &watch.ResumePoint{}, 3)
	if place.Position.Sequence != 3 {
		t.Fatalf("the watcher is at %+v", place)
	}
	restored.record(updated("new", "t", "open"), updated("c", "t", "open"))
	expectNoPlace(t, restored, place)
}

// A ticket is told as it is when it is read. Where what it says comes later than the place, the place alone is not what the watcher knows.
func TestFeed_Watch_logLacksAnEventOfTheTicket(t *testing.T) {
	t.Parallel()
	log := newMemory()
	log.record(updated("a", "t", "open"), updated("b", "t", "open"))
	restored := log.backup()
	inSnapshot := newMemory()
	inSnapshot.record(updated("a", "t", "open"))
	restoredInWalk := inSnapshot.backup()

	log.record(updated("c", "t", "closed"))
	change := last(t, newFeed(t, log, watch.DefaultLimits()), &watch.ResumePoint{}, 2)
	if change.Position.Sequence != 2 || change.Seen.Sequence != 3 {
		t.Fatalf("the watcher is at %+v", change)
	}
	expectNoPlace(t, restored, change)

	w := mustWatch(t, newFeed(t, inSnapshot, watch.DefaultLimits()), ticket.Filter{}, nil)
	inSnapshot.record(updated("c", "t", "closed"))
	m, err := w.Next(t.Context())
	if err != nil || !m.ResumePoint.Snapshot || m.ResumePoint.Position.Sequence != 1 || m.ResumePoint.Seen.Sequence != 2 {
		t.Fatalf("the watcher is at %+v, %v", m.ResumePoint, err)
	}
	expectNoPlace(t, restoredInWalk, m.ResumePoint)
}

// Nor is what a watcher was not told: its filter looks at a ticket as it is when it is read.
func TestFeed_Watch_logLacksWhyATicketWasSkipped(t *testing.T) {
	t.Parallel()
	notClosed := ticket.Filter{Statuses: []ticket.Status{ticket.StatusUnspecified}}
	log := newMemory()
	log.record(updated("a", "t", "open"), updated("b", "t", "open"))
	restored := log.backup()
	log.record(updated("c", "t", "closed"))
	behind := mustWatch(t, newFeed(t, log, watch.DefaultLimits()), notClosed, &watch.ResumePoint{})
	expectNoPlace(t, restored, expect(t, behind, "t leaves by b").ResumePoint)

	inSnapshot := newMemory()
	inSnapshot.record(updated("a", "t", "open"))
	restored = inSnapshot.backup()
	walking := mustWatch(t, newFeed(t, inSnapshot, watch.DefaultLimits()), notClosed, nil)
	inSnapshot.record(updated("b", "t", "closed"))
	m, err := walking.Next(t.Context())
	if err != nil || m.Kind != watch.Heartbeat || m.ResumePoint.Position.Sequence != 1 {
		t.Fatalf("%q at %+v, %v; want that the walk is over", said(m), m.ResumePoint, err)
	}
	expectNoPlace(t, restored, m.ResumePoint)
}
