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

// schema is what the file holds: the tickets as they came, so that fields which only a newer contract knows are kept, and the token.
//
// stale marks what was in the copy before it was started again, and has not come since.
const schema = `
CREATE TABLE IF NOT EXISTS tickets (
  ticket_id TEXT PRIMARY KEY, revision INTEGER NOT NULL, ticket BLOB NOT NULL, stale INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS stale_tickets ON tickets (stale) WHERE stale;
CREATE TABLE IF NOT EXISTS progress (id INTEGER PRIMARY KEY CHECK (id = 1), token TEXT NOT NULL);
INSERT OR IGNORE INTO progress (id, token) VALUES (1, '');`

// ErrNotFound says that a ticket is not in the copy.
var ErrNotFound = errors.New("there is no such ticket in the copy")

// Copy is a copy of all tickets, with the token of the last message in it. One process writes it; others may read it meanwhile.
type Copy struct {
	db *sql.DB
	// read tells whether somebody was reading the file when SQLite's log was to be emptied for the last time.
	read bool
}

// OpenCopy opens the copy in an SQLite file, which it makes when it is missing.
func OpenCopy(ctx context.Context, path string) (*Copy, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	// SQLite gives its other files the mode of this one.
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := file.Close(); err != nil {
		return nil, err
	}
	options := url.Values{"_pragma": {
		"busy_timeout(5000)",
		// In this mode a commit does not wait for the disk. A machine that fails loses the last ones, and with them the tokens: what they
		// brought comes again.
		"journal_mode(WAL)", "synchronous(NORMAL)",
		// What is deleted is overwritten.
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

// Token returns the token to go on with. It is empty in a new copy.
func (c *Copy) Token(ctx context.Context) (token string, err error) {
	err = c.db.QueryRowContext(ctx, "SELECT token FROM progress").Scan(&token)
	return token, err
}

// Apply takes in what a message says, together with its token: both, or neither.
func (c *Copy) Apply(ctx context.Context, message *ticketv1.WatchTicketsResponse) error {
	err := c.inTransaction(ctx, func(tx *sql.Tx) error {
		switch {
		case message.GetChange() != nil:
			ticket := message.GetChange().GetTicket()
			content, err := proto.Marshal(ticket)
			if err != nil {
				return err
			}
			// A ticket may come again in an older version: the snapshot has it as it is, and then the changes since the beginning of the snapshot
			// follow. So the greater revision counts. A new snapshot counts in any case: a database that was restored can be behind.
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
		// This heartbeat ends the snapshot. Tickets that were not in it are gone.
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
	// Wherever else you keep something of a ticket that was erased, remove it there too.
	erased := message.GetRemoved().GetReason() == ticketv1.TicketRemoved_REASON_ERASED
	if message.GetHeartbeat() != nil || erased && !c.read {
		return c.emptyLog(ctx)
	}
	return nil
}

// emptyLog removes from SQLite's log what was erased. Nobody may read the file meanwhile; where somebody does so for longer than the
// busy_timeout, the next heartbeat tries again.
func (c *Copy) emptyLog(ctx context.Context) error {
	// The message is taken in: that ctx ends now is no reason to leave this undone.
	return c.db.QueryRowContext(context.WithoutCancel(ctx), "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&c.read, new(int), new(int))
}

// StartAgain drops the token. What is in the copy stays until all tickets have come again.
func (c *Copy) StartAgain(ctx context.Context) error {
	return c.inTransaction(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE tickets SET stale = 1; UPDATE progress SET token = ''")
		return err
	})
}

// Get returns a ticket of the copy. Its error is [ErrNotFound] when it is not in there: not known, or erased, or not come yet.
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

// pageSize is how many tickets are read at once by [Copy.All].
const pageSize = 100

// All goes through the tickets of the copy, by their ids. The copy can be used meanwhile: it is read page by page, so what changes may come
// as it was or as it is.
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

// page returns the first tickets behind an id; with an error, those that come before it.
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

func (c *Copy) inTransaction(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := c.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	// It does nothing after a commit.
	defer func() { _ = tx.Rollback() }()
	if err := do(tx); err != nil {
		return err
	}
	return tx.Commit()
}
