// Package sqlite stores tickets and the log of their events in an SQLite file, for a service that runs on one machine.
package sqlite

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"

	"modernc.org/sqlite"

	"github.com/ticketbridge/ticketbridge/internal/sqlitedb"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

var (
	//go:embed schema.sql
	schema string
	//go:embed erasure.sql
	erasure string
	//go:embed identity.sql
	identity string
	//go:embed stats.sql
	stats string
	//go:embed search.sql
	search string
	//go:embed merging.sql
	merging string
	//go:embed receiptkey.sql
	receiptKey string

	// migrations are the steps of the schema. A step must never be changed, because files that it made hold acknowledged events.
	migrations = []sqlitedb.Migration{
		{Script: schema}, {Script: erasure}, {Script: identity}, {Script: stats, Fill: fillWaits}, {Script: search},
		{Script: merging, Fill: addNonce}, {Script: receiptKey, Fill: makeReceiptKey},
	}
)

// applicationID is "TBts".
const applicationID = 0x54427473

const (
	// readers is the maximum number of calls that read at once and may take long: the four expensive reads that the RPCs allow, two snapshots
	// of the feed, and one other call.
	readers = 7
	// quickReaders is the maximum number of calls that read single tickets and the log at once: three reads of the feed, and one call.
	quickReaders = 4
)

// Store implements [ticket.Store].
type Store struct {
	db         *sqlitedb.DB
	databaseID ticket.DatabaseID
	receiptKey ticket.ReceiptKey
	// maxSorted is the constant, except in tests.
	maxSorted int
	// appended is notified when the log has grown.
	appended ticket.Notifier

	// Statements of the writer.
	lastSequence    *sql.Stmt
	lastNumber      *sql.Stmt
	lastPosition    *sql.Stmt
	findEvents      *sqlitedb.RowsStatement
	findTickets     *sqlitedb.RowsStatement
	readTicket      *sqlitedb.RowsStatement
	insertEvents    *sqlitedb.RowsStatement
	insertTickets   *sqlitedb.RowsStatement
	updateTicket    *sql.Stmt
	moveTicket      *sql.Stmt
	touchTicket     *sql.Stmt
	addCounts       *sqlitedb.RowsStatement
	dropEmptyCounts *sql.Stmt
	addWords        *sql.Stmt
	removeWords     *sql.Stmt
	// Statements of the readers.
	findContent   *sql.Stmt
	findContents  *sqlitedb.RowsStatement
	findPositions *sqlitedb.RowsStatement
	readLog       *sql.Stmt
	readBefore    *sql.Stmt
	readErasures  *sql.Stmt
	measureBefore *sql.Stmt
}

// Options returns the options to open or restore the database at path.
func Options(path string) sqlitedb.Options {
	return sqlitedb.Options{Path: path, ApplicationID: applicationID, Migrations: migrations, Readers: readers, QuickReaders: quickReaders,
		Overwrite: true}
}

// Open opens or creates the file at path, and indexes the words of tickets that an older version stored. Its errors are those of
// [sqlitedb.Open], and of the database.
func Open(ctx context.Context, path string) (*Store, error) {
	db, err := sqlitedb.Open(ctx, Options(path))
	if err != nil {
		return nil, err
	}
	s := &Store{db: db, maxSorted: maxSorted}
	if err := errors.Join(s.readIdentityAndKey(ctx), s.prepare(ctx)); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if err := s.fillWords(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: making the index of words: %w", path, err), db.Close())
	}
	return s, nil
}

func (s *Store) prepare(ctx context.Context) (err error) {
	for _, statement := range []struct {
		prepared **sql.Stmt
		pool     *sql.DB
		text     string
	}{
		{&s.lastSequence, s.db.Writer, "SELECT coalesce(max(sequence), 0) FROM events"},
		{&s.lastPosition, s.db.Writer, lastPosition},
		{&s.lastNumber, s.db.Writer, "SELECT coalesce(max(number), 0) FROM tickets"},
		{&s.updateTicket, s.db.Writer, "UPDATE tickets SET status = ?, app_id = ?, category_id = ?, assigned_to = ?, waiting_since = ?," +
			" update_time = ?, stamps = ?, content = ?, property_id = ?, create_time = ? WHERE number = ?"},
		{&s.moveTicket, s.db.Writer, "UPDATE tickets SET status = ?, app_id = ?, category_id = ?, assigned_to = ?, waiting_since = ?," +
			" update_time = ?, stamps = ?, content = ? WHERE number = ?"},
		{&s.touchTicket, s.db.Writer, "UPDATE tickets SET update_time = ?, stamps = ?, content = ? WHERE number = ?"},
		{&s.dropEmptyCounts, s.db.Writer, dropEmptyCounts},
		{&s.addWords, s.db.Writer, addWords},
		{&s.removeWords, s.db.Writer, removeWords},
		{&s.findContent, s.db.QuickReader, "SELECT content FROM tickets WHERE ticket_id = ? AND erased = 0"},
		{&s.readLog, s.db.QuickReader, readLog},
		{&s.readBefore, s.db.Reader, readBefore},
		{&s.readErasures, s.db.Reader, readErasures},
		{&s.measureBefore, s.db.Reader, measureBefore},
	} {
		if *statement.prepared, err = statement.pool.PrepareContext(ctx, statement.text); err != nil {
			return err
		}
	}
	for _, statement := range []struct {
		prepared            **sqlitedb.RowsStatement
		pool                *sql.DB
		prefix, row, suffix string
	}{
		{&s.findEvents, s.db.Writer, "SELECT event_id FROM events WHERE event_id IN (", "?", ")"},
		{&s.findTickets, s.db.Writer, findTickets, "?", ")"},
		{&s.readTicket, s.db.Writer, "SELECT stamps, content FROM tickets WHERE number IN (", "?", ")"},
		{&s.insertEvents, s.db.Writer, "INSERT OR ROLLBACK INTO events (sequence, event_id, ticket_id, name, full_snapshot, occur_time," +
			" receive_time, content, payload, nonce) VALUES ", "(?,?,?,?,?,?,?,?,?,?)", ""},
		{&s.insertTickets, s.db.Writer, "INSERT OR ROLLBACK INTO tickets (number, ticket_id, status, app_id, category_id, assigned_to," +
			" property_id, create_time, update_time, waiting_since, stamps, content) VALUES ", "(?,?,?,?,?,?,?,?,?,?,?,?)", ""},
		{&s.addCounts, s.db.Writer, "INSERT INTO ticket_counts (app_id, category_id, status, unassigned, tickets) VALUES ", "(?,?,?,?,?)",
			" ON CONFLICT DO UPDATE SET tickets = tickets + excluded.tickets"},
		{&s.findPositions, s.db.QuickReader, selectPosition + " WHERE sequence IN (", "?", ")"},
		{&s.findContents, s.db.Reader, "SELECT ticket_id, content FROM tickets WHERE erased = 0 AND ticket_id IN (", "?", ")"},
	} {
		*statement.prepared, err = sqlitedb.PrepareRows(ctx, statement.pool, statement.prefix, statement.row, statement.suffix)
		if err != nil {
			return err
		}
	}
	return nil
}

// Close implements [ticket.Store].
func (s *Store) Close() error { return s.db.Close() }

// Ping implements [ticket.Store].
func (s *Store) Ping(ctx context.Context) error { return mapError(ctx, s.db.Ping(ctx)) }

// read runs f in a transaction that sees the database at one moment.
func (s *Store) read(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := s.db.Reader.BeginTx(ctx, nil)
	if err != nil {
		return mapError(ctx, err)
	}
	// The transaction only reads, so there is nothing to commit, and an error does not matter.
	defer func() { _ = tx.Rollback() }()
	return mapError(ctx, f(tx))
}

// errEnough ends forEach.
var errEnough = errors.New("no further row is needed")

// forEach returns a function that calls f for each row of a query, until f returns an error. It closes the rows. [errEnough] is not
// returned.
func forEach(rows *sql.Rows, err error) func(f func(*sql.Rows) error) error {
	return func(f func(*sql.Rows) error) (result error) {
		if err != nil {
			return err
		}
		defer func() {
			if closeErr := rows.Close(); result == nil {
				result = closeErr
			}
		}()
		for rows.Next() {
			if err := f(rows); errors.Is(err, errEnough) {
				return nil
			} else if err != nil {
				return err
			}
		}
		return rows.Err()
	}
}

// mapError converts the database's errors to those of package ticket.
func mapError(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var statement *sqlite.Error
	switch err = sqlitedb.ClassifyError(err); {
	case errors.Is(err, ticket.ErrNotFound), errors.Is(err, ticket.ErrCorrupt), errors.Is(err, ticket.ErrNewerVersion),
		errors.Is(err, ticket.ErrTooLargeTogether), errors.Is(err, ticket.ErrNoMemory), errors.Is(err, ticket.ErrTooManyEvents):
		return err
	case errors.Is(err, sqlitedb.ErrUnavailable):
		return fmt.Errorf("%w: %w", ticket.ErrUnavailable, err)
	case errors.As(err, &statement):
		// The statement is wrong, so a retry can't succeed.
		return err
	default:
		// The error comes from database/sql: the database is closed.
		return fmt.Errorf("%w: %w", ticket.ErrUnavailable, err)
	}
}
