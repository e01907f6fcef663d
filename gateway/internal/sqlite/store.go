// Package sqlite keeps the inbox in an SQLite file, for a gateway that runs on one machine.
//
// Only one process uses the file, so leases are kept in its memory and end with the process.
package sqlite

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"sync"
	"time"

	"modernc.org/sqlite"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	"github.com/ticketbridge/ticketbridge/internal/sqlitedb"
)

var (
	//go:embed schema.sql
	schema string
	//go:embed erasures.sql
	erasures string
	//go:embed positions.sql
	positions string
	//go:embed replaycursor.sql
	replayCursor string

	// migrations are the steps of the schema. Databases that were made by any of them hold acknowledged deliveries, so no step is ever
	// changed.
	migrations = []sqlitedb.Migration{{Script: schema}, {Script: erasures}, {Script: positions}, {Script: replayCursor}}
)

// applicationID is "TBgw".
const applicationID = 0x54426777

// Store implements [inbox.Store].
type Store struct {
	db *sqlitedb.DB

	findExisting     *sqlitedb.RowsStatement
	insertDeliveries *sqlitedb.RowsStatement
	insertPayloads   *sqlitedb.RowsStatement
	forward          *sqlitedb.RowsStatement
	insertPosition   *sql.Stmt
	replay           *sqlitedb.RowsStatement
	measure          *sqlitedb.RowsStatement
	fetch            *sqlitedb.RowsStatement

	// lastID is the last id that was given to a delivery. Only a write transaction uses it, and there is one at a time.
	lastID int64

	// claiming is held while a claim chooses deliveries, so that there is one at a time.
	claiming sync.Mutex
	// mu guards the fields below.
	mu        sync.Mutex
	leases    map[int64]lease
	lastToken int64
}

type lease struct {
	token int64
	until time.Time
	// finishing is set while the lease is being used. It can't end then.
	finishing bool
}

func (l lease) holdsAt(now time.Time) bool { return l.finishing || now.Before(l.until) }

// Options returns the options for opening or restoring the database at path.
func Options(path string) sqlitedb.Options {
	return sqlitedb.Options{Path: path, ApplicationID: applicationID, Migrations: migrations, Readers: 4}
}

// Open opens the file at path, or makes it. Its errors are those of [sqlitedb.Open].
func Open(ctx context.Context, path string) (*Store, error) {
	db, err := sqlitedb.Open(ctx, Options(path))
	if err != nil {
		return nil, err
	}
	s := &Store{db: db, leases: map[int64]lease{}}
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

func (s *Store) prepare(ctx context.Context) (err error) {
	// The sequence holds the last id that was ever committed, also of a deleted delivery.
	if err := s.db.Writer.QueryRowContext(ctx, "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'deliveries'").Scan(
		&s.lastID); err != nil {
		return err
	}
	if s.findExisting, err = sqlitedb.PrepareRows(ctx, s.db.Writer, "SELECT key, id, state, body_hash FROM deliveries WHERE key IN (",
		"?", ")"); err != nil {
		return err
	}
	// With OR FAIL SQLite needs no journal to undo a statement that fails half-way. A failure ends the whole transaction anyway.
	if s.insertDeliveries, err = sqlitedb.PrepareRows(ctx, s.db.Writer, "INSERT OR FAIL INTO deliveries (id, key, state, receive_time,"+
		" next_attempt_time, event_id, event_name, ticket_id, reason, body_hash) VALUES ",
		"(?,?,?,?,?,?,?,?,?,?)", " ON CONFLICT (key) DO NOTHING"); err != nil {
		return err
	}
	if s.insertPayloads, err = sqlitedb.PrepareRows(ctx, s.db.Writer, "INSERT OR FAIL INTO payloads (delivery_id, body, signature_timestamp,"+
		" content_type, user_agent, trace_parent) VALUES ", "(?,?,?,?,?,?)", ""); err != nil {
		return err
	}
	// ?1 is the time for all rows.
	if s.forward, err = sqlitedb.PrepareRows(ctx, s.db.Writer, "UPDATE deliveries SET state = 2, forward_time = ?1,"+
		" next_attempt_time = NULL, reason = '' WHERE state = 1 AND id IN (", "?", ")"); err != nil {
		return err
	}
	if s.insertPosition, err = s.db.Writer.PrepareContext(ctx, insertPosition); err != nil {
		return err
	}
	if s.replay, err = sqlitedb.PrepareRows(ctx, s.db.Writer, replay, "?", ")"); err != nil {
		return err
	}
	if s.measure, err = sqlitedb.PrepareRows(ctx, s.db.Reader, "SELECT delivery_id, length(body) FROM payloads WHERE delivery_id IN (",
		"?", ")"); err != nil {
		return err
	}
	s.fetch, err = sqlitedb.PrepareRows(ctx, s.db.Reader, "SELECT d.id, d.event_id, d.ticket_id, d.attempts, d.deferrals,"+
		" d.receive_time, d.reason, coalesce(p.trace_parent, ''), p.body FROM deliveries d LEFT JOIN payloads p ON p.delivery_id = d.id"+
		" WHERE d.id IN (", "?", ")")
	return err
}

// Close implements [inbox.Store].
func (s *Store) Close() error { return s.db.Close() }

// Subscribe implements [inbox.Store]. It does nothing, because no other process uses the file.
func (s *Store) Subscribe(context.Context, func(), func(error)) {}

// Ping implements [inbox.Store].
func (s *Store) Ping(ctx context.Context) error { return mapError(ctx, s.db.Ping(ctx)) }

// mapError returns an error of the database as an error of the inbox.
func mapError(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	err = sqlitedb.ClassifyError(err)
	var statement *sqlite.Error
	if errors.As(err, &statement) && !errors.Is(err, sqlitedb.ErrUnavailable) {
		// The statement itself is wrong, so no retry will succeed.
		return err
	}
	// An error that is not from SQLite is from database/sql: the database is closed.
	return fmt.Errorf("%w: %w", inbox.ErrUnavailable, err)
}

func unixNano(t time.Time) int64 { return t.UnixNano() }

func fromUnixNano(nanoseconds int64) time.Time { return time.Unix(0, nanoseconds).UTC() }
