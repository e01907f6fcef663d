package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/proto"
	_ "modernc.org/sqlite" // the driver; pure Go

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
)

// schema has the token and the received tickets. A ticket is stored as the message itself, so that fields of a newer contract are kept.
//
// stale is set for a ticket that was in the copy when the copy was started again, and that has not been received since.
const schema = `
CREATE TABLE IF NOT EXISTS tickets (
  ticket_id TEXT PRIMARY KEY, revision INTEGER NOT NULL, ticket BLOB NOT NULL, stale INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS stale_tickets ON tickets (stale) WHERE stale;
CREATE TABLE IF NOT EXISTS progress (id INTEGER PRIMARY KEY CHECK (id = 1), token TEXT NOT NULL);
INSERT OR IGNORE INTO progress (id, token) VALUES (1, '');`

// ErrNotFound is returned if a ticket is not in the copy.
var ErrNotFound = errors.New("no such ticket in the copy")

// Copy is a copy of all tickets, with the token of the last applied message. One process may write the copy, and others may read it at the
// same time.
type Copy struct {
	db *sql.DB
	// truncateFailed is set if the last attempt to truncate SQLite's log failed, because another process read the file.
	truncateFailed bool
}

// OpenCopy opens the copy in an SQLite file, and creates the file if it is missing.
func OpenCopy(ctx context.Context, path string) (*Copy, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	// SQLite creates its other files with the same mode.
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := file.Close(); err != nil {
		return nil, err
	}
	options := url.Values{"_pragma": {
		"busy_timeout(5000)",
		// In this mode a commit does not wait for the disk. After a crash of the machine the last commits are lost, together with their
		// tokens, so ticketsvc sends their messages again.
		"journal_mode(WAL)", "synchronous(NORMAL)",
		// Deleted data is overwritten.
		"secure_delete(ON)",
	}}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+options.Encode())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &Copy{db: db}, nil
}

// Close closes the file.
func (c *Copy) Close() error { return c.db.Close() }

// Token returns the token to resume with. It is empty in a new copy.
func (c *Copy) Token(ctx context.Context) (token string, err error) {
	err = c.db.QueryRowContext(ctx, "SELECT token FROM progress").Scan(&token)
	return token, err
}

// Apply stores the content of a message and its token, in one transaction.
func (c *Copy) Apply(ctx context.Context, message *ticketv1.WatchTicketsResponse) error {
	err := c.inTransaction(ctx, func(tx *sql.Tx) error {
		switch {
		case message.GetChange() != nil:
			ticket := message.GetChange().GetTicket()
			content, err := proto.Marshal(ticket)
			if err != nil {
				return err
			}
			// A message can have an older revision of a ticket: after the snapshot come all changes since the beginning of the snapshot. So the
			// greater revision stays. A stale ticket is always replaced, because a restored database can have lower revisions.
			_, err = tx.ExecContext(ctx, `
INSERT INTO tickets (ticket_id, revision, ticket) VALUES (?, ?, ?)
ON CONFLICT (ticket_id) DO UPDATE SET revision = excluded.revision, ticket = excluded.ticket, stale = 0
WHERE tickets.stale OR excluded.revision >= tickets.revision`, ticket.GetTicketId(), ticket.GetRevision(), content)
			if err != nil {
				return err
			}
		case message.GetRemoved() != nil:
			if _, err := tx.ExecContext(ctx, "DELETE FROM tickets WHERE ticket_id = ?", message.GetRemoved().GetTicketId()); err != nil {
				return err
			}
		}
		// This heartbeat ends the snapshot. Tickets that were not in the snapshot do not exist any more.
		if heartbeat := message.GetHeartbeat(); heartbeat != nil && !heartbeat.GetSnapshot() {
			if _, err := tx.ExecContext(ctx, "DELETE FROM tickets WHERE stale"); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, "UPDATE progress SET token = ?", message.GetResumeToken())
		return err
	})
	if err != nil {
		return err
	}
	// If you keep data of tickets in other places, remove an erased ticket there too.
	erased := message.GetRemoved().GetReason() == ticketv1.TicketRemoved_REASON_ERASED
	if message.GetHeartbeat() != nil || erased && !c.truncateFailed {
		return c.truncateLog(ctx)
	}
	return nil
}

// truncateLog removes erased data from SQLite's log. It fails if another process reads the file for longer than the busy_timeout. The next
// heartbeat then retries it.
func (c *Copy) truncateLog(ctx context.Context) error {
	// The erasure is stored, so the log must be truncated even if ctx has ended.
	return c.db.QueryRowContext(context.WithoutCancel(ctx), "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&c.truncateFailed, new(int), new(int))
}

// StartAgain drops the token. The tickets stay in the copy until the end of the new snapshot.
func (c *Copy) StartAgain(ctx context.Context) error {
	return c.inTransaction(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE tickets SET stale = 1; UPDATE progress SET token = ''")
		return err
	})
}

// Get returns a ticket of the copy. The error is [ErrNotFound] if the ticket is unknown, erased, or not received yet.
func (c *Copy) Get(ctx context.Context, id string) (*ticketv1.Ticket, error) {
	var content []byte
	err := c.db.QueryRowContext(ctx, "SELECT ticket FROM tickets WHERE ticket_id = ?", id).Scan(&content)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("%w: %q", ErrNotFound, id)
	}
	if err != nil {
		return nil, err
	}
	ticket := &ticketv1.Ticket{}
	return ticket, proto.Unmarshal(content, ticket)
}

// pageSize is the number of tickets that [Copy.All] reads at a time.
const pageSize = 100

// All yields the tickets of the copy in the order of their ids. The copy can be used at the same time: All reads it in pages, so it may
// yield a ticket that changes in its old or its new state.
func (c *Copy) All(ctx context.Context) iter.Seq2[*ticketv1.Ticket, error] {
	return func(yield func(*ticketv1.Ticket, error) bool) {
		after := ""
		for {
			page, err := c.page(ctx, after)
			for _, ticket := range page {
				if !yield(ticket, nil) {
					return
				}
				after = ticket.GetTicketId()
			}
			if err != nil {
				yield(nil, err)
			}
			if err != nil || len(page) < pageSize {
				return
			}
		}
	}
}

// page returns the first tickets after an id. With an error it returns the tickets before the error.
func (c *Copy) page(ctx context.Context, after string) (page []*ticketv1.Ticket, err error) {
	rows, err := c.db.QueryContext(ctx, "SELECT ticket FROM tickets WHERE ticket_id > ? ORDER BY ticket_id LIMIT ?", after, pageSize)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var content sql.RawBytes
		if err := rows.Scan(&content); err != nil {
			return page, err
		}
		ticket := &ticketv1.Ticket{}
		if err := proto.Unmarshal(content, ticket); err != nil {
			return page, err
		}
		page = append(page, ticket)
	}
	return page, rows.Err()
}

func (c *Copy) inTransaction(ctx context.Context, run func(*sql.Tx) error) error {
	tx, err := c.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	// Rollback does nothing after a commit.
	defer func() { _ = tx.Rollback() }()
	if err := run(tx); err != nil {
		return err
	}
	return tx.Commit()
}
