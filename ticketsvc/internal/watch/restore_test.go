package watch_test

import (
	"errors"
	"testing"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/watch"
)

// last returns the position of the last of so many messages to a watcher that begins after from.
func last(t *testing.T, f *watch.Feed, from *watch.ResumePoint, messages int) watch.ResumePoint {
	t.Helper()
	w := mustWatch(t, f, ticket.Filter{}, from)
	defer w.Close()
	var position watch.ResumePoint
	for range messages {
		m, err := w.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		position = m.ResumePoint
	}
	return position
}

func expectNotInLog(t *testing.T, log *memory, position watch.ResumePoint) {
	t.Helper()
	w, err := newFeed(t, log, watch.DefaultLimits()).Watch(t.Context(), "caller", ticket.Filter{}, &position)
	if err == nil {
		w.Close()
	}
	if !errors.Is(err, watch.ErrNotInLog) {
		t.Errorf("Watch = %v, want ErrNotInLog", err)
	}
}

// The sender delivers again what the backup has not, so that the same event is at the same position, after another one.
func TestFeed_Watch_restoredLogWithTheSameEvent(t *testing.T) {
	t.Parallel()
	log := newMemory()
	log.record(updated("a", "t", "open"))
	restored := log.backup()
	log.record(updated("b", "t", "open"), updated("c", "t", "open"))
	position := last(t, newFeed(t, log, watch.DefaultLimits()), &watch.ResumePoint{}, 3)
	if position.Position.Sequence != 3 {
		t.Fatalf("the watcher is at %+v", position)
	}
	restored.record(updated("new", "t", "open"), updated("c", "t", "open"))
	expectNotInLog(t, restored, position)
}

// A message has the ticket as it is when it is read. If the ticket has a later event than the message's position, the watcher knows more
// than the log up to that position.
func TestFeed_Watch_logLacksAnEventOfTheTicket(t *testing.T) {
	t.Parallel()
	log := newMemory()
	log.record(updated("a", "t", "open"), updated("b", "t", "open"))
	restored := log.backup()
	inSnapshot := newMemory()
	inSnapshot.record(updated("a", "t", "open"))
	restoredInSnapshot := inSnapshot.backup()

	log.record(updated("c", "t", "closed"))
	change := last(t, newFeed(t, log, watch.DefaultLimits()), &watch.ResumePoint{}, 2)
	if change.Position.Sequence != 2 || change.Seen.Sequence != 3 {
		t.Fatalf("the watcher is at %+v", change)
	}
	expectNotInLog(t, restored, change)

	w := mustWatch(t, newFeed(t, inSnapshot, watch.DefaultLimits()), ticket.Filter{}, nil)
	inSnapshot.record(updated("c", "t", "closed"))
	m, err := w.Next(t.Context())
	if err != nil || !m.ResumePoint.Snapshot || m.ResumePoint.Position.Sequence != 1 || m.ResumePoint.Seen.Sequence != 2 {
		t.Fatalf("the watcher is at %+v, %v", m.ResumePoint, err)
	}
	expectNotInLog(t, restoredInSnapshot, m.ResumePoint)
}

// A ticket is skipped if it does not match as it is when it is read. So a skipped ticket can have a later event too.
func TestFeed_Watch_logLacksWhyATicketWasSkipped(t *testing.T) {
	t.Parallel()
	notClosed := ticket.Filter{Statuses: []ticket.Status{ticket.StatusUnspecified}}
	log := newMemory()
	log.record(updated("a", "t", "open"), updated("b", "t", "open"))
	restored := log.backup()
	log.record(updated("c", "t", "closed"))
	behind := mustWatch(t, newFeed(t, log, watch.DefaultLimits()), notClosed, &watch.ResumePoint{})
	expectNotInLog(t, restored, expect(t, behind, "t leaves by b").ResumePoint)

	inSnapshot := newMemory()
	inSnapshot.record(updated("a", "t", "open"))
	restored = inSnapshot.backup()
	snapshotting := mustWatch(t, newFeed(t, inSnapshot, watch.DefaultLimits()), notClosed, nil)
	inSnapshot.record(updated("b", "t", "closed"))
	m, err := snapshotting.Next(t.Context())
	if err != nil || m.Kind != watch.Heartbeat || m.ResumePoint.Position.Sequence != 1 {
		t.Fatalf("%q at %+v, %v; want that the snapshot is over", said(m), m.ResumePoint, err)
	}
	expectNotInLog(t, restored, m.ResumePoint)
}
