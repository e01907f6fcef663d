package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/postgres"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
)

var pageLimit = ticket.PageLimit{Items: 1000, Bytes: ticket.MaxPageBytes}

// errSkipped is returned if a reader of the log missed an event.
var errSkipped = errors.New("the log's reader skipped a position")

// tail has 8 writers on two replicas that record events, and a reader on a third replica that follows the log meanwhile. It returns
// [errSkipped] if the reader did not see every sequence number once and in order.
func tail(t *testing.T, events int, prepare func(url string, store *postgres.Store)) error {
	t.Helper()
	const writers, batch = 8, 25
	url := postgresql.Database(t)
	var replicas [3]*postgres.Store
	for i := range replicas {
		replicas[i] = mustOpen(t, url)
		t.Cleanup(func() { _ = replicas[i].Close() })
		prepare(url, replicas[i])
	}
	group, ctx := errgroup.WithContext(t.Context())
	for writer := range writers {
		group.Go(func() error {
			for done := 0; done < events/writers; done += batch {
				changes := make([]ticket.Change, batch)
				for i := range changes {
					changes[i] = ticket.Change{EventID: fmt.Sprintf("e%d-%d", writer, done+i), Name: ticket.Updated,
						TicketID: fmt.Sprintf("t%d", (writer*events+done+i)%5000), OccurTime: tickettest.At(int64(done + i))}
				}
				if _, err := replicas[writer%2].Append(ctx, changes); err != nil {
					return err
				}
			}
			return nil
		})
	}
	group.Go(func() error {
		last := int64(0)
		for last < int64(events) {
			read, err := replicas[2].ReadLog(ctx, last, pageLimit)
			if err != nil {
				return err
			}
			for _, entry := range read {
				e := entry.Event
				if e.Sequence != last+1 {
					return fmt.Errorf("%w: after %d comes %d", errSkipped, last, e.Sequence)
				}
				last = e.Sequence
			}
		}
		return nil
	})
	return group.Wait()
}

func TestStore_ReadLog_missesNothing(t *testing.T) {
	t.Parallel()
	if err := tail(t, 50_000, func(string, *postgres.Store) {}); err != nil {
		t.Error(err)
	}
}

// TestStore_ReadLog_missesEventsThatASequenceNumbers shows that the test above can fail: it does the same with a sequence, the usual way to
// number rows.
func TestStore_ReadLog_missesEventsThatASequenceNumbers(t *testing.T) {
	t.Parallel()
	err := tail(t, 50_000, func(url string, store *postgres.Store) {
		postgresql.Execute(t, url, "CREATE SEQUENCE IF NOT EXISTS ticketsvc.naive")
		store.NumberBySequence("ticketsvc.naive")
	})
	if !errors.Is(err, errSkipped) {
		t.Errorf("tailing a log without its order gave %v, want that the reader skipped a position", err)
	}
}

func change(eventID, ticketID string) ticket.Change {
	return ticket.Change{EventID: eventID, Name: ticket.Created, TicketID: ticketID, OccurTime: tickettest.At(1)}
}

// recordAlone records one new event on its own goroutine, and returns the channel of its error.
func recordAlone(ctx context.Context, store *postgres.Store, c ticket.Change) <-chan error {
	done := make(chan error, 1)
	go func() {
		recorded, err := store.Append(ctx, []ticket.Change{c})
		if err == nil && recorded[0] != (ticket.AppendResult{LogEnd: recorded[0].LogEnd}) {
			err = fmt.Errorf("recorded %+v: %w", recorded[0], recorded[0].Err)
		}
		done <- err
	}()
	return done
}

// waitForLock returns when somebody waits for the lock of the log.
func waitForLock(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	for waiting := false; !waiting; {
		if err := conn.QueryRow(t.Context(), "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND classid ="+
			" 'ticketsvc.events'::regclass").Scan(&waiting); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStore_Append_waitsForTheEventBefore(t *testing.T) {
	t.Parallel()
	url := postgresql.Database(t)
	store := mustOpen(t, url)
	t.Cleanup(func() { _ = store.Close() })
	slow, watch := postgresql.Connect(t, url), postgresql.Connect(t, url)
	for _, statement := range []string{"begin", postgres.LockLog, "INSERT INTO ticketsvc.events VALUES (1, 'slow', 't', 'ticket.created'," +
		" false, '2026-03-02T07:15:30.000000000Z', '', '\\x00', '')"} {
		if _, err := slow.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	done := recordAlone(t.Context(), store, change("fast", "t2"))
	waitForLock(t, watch)
	if read, err := store.ReadLog(t.Context(), 0, pageLimit); err != nil || len(read) != 0 {
		t.Errorf("before any commit the log has %v, %v", read, err)
	}
	if _, err := slow.Exec(t.Context(), "commit"); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	read, err := store.ReadLog(t.Context(), 0, pageLimit)
	if err != nil || len(read) != 2 || read[0].Event.EventID != "slow" || read[1].Event.EventID != "fast" || read[1].Event.Sequence != 2 {
		t.Errorf("the log has %+v, %v; want the slow one and then the fast one", read, err)
	}
}
