package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
)

const (
	insertPosition = "INSERT INTO log_positions (database_id, sequence, fingerprint, forwarded_before) VALUES (?, ?, ?, ?)"

	// beginReplay makes the replay cover every existing delivery, as [inbox.ReplayCursor] says.
	beginReplay = "INSERT INTO replay (one, since, before_id, through_id) VALUES (1, ?, 9223372036854775807, 0)" +
		" ON CONFLICT DO UPDATE SET since = min(since, excluded.since), through_id = before_id"
	readReplay = "SELECT since, before_id, through_id, requeued, without_body FROM replay"
	// scanReplay returns, for each delivery, whether it was forwarded since, and whether its body is kept.
	scanReplay = "SELECT id, forward_time >= ?1, CASE WHEN forward_time >= ?1 THEN EXISTS (SELECT 1 FROM payloads WHERE delivery_id = id)" +
		" ELSE 0 END FROM (SELECT id, iif(state = 2, forward_time, -1) AS forward_time FROM deliveries WHERE id < ?2 AND id >= ?3" +
		" ORDER BY id DESC LIMIT ?4) ORDER BY id DESC"
	// ?1 is the due time, ?2 the number of deferrals and ?3 the reason of all of them.
	replay = "UPDATE deliveries SET state = 1, forward_time = NULL, next_attempt_time = ?1, attempts = 0, deferrals = ?2, reason = ?3" +
		" WHERE state = 2 AND id IN ("
)

// LogPositions implements [inbox.Store].
func (s *Store) LogPositions(ctx context.Context, limit int) (p inbox.LogPositions, err error) {
	rows, err := s.db.Reader.QueryContext(ctx, "SELECT id, database_id, sequence, fingerprint, forwarded_before FROM ("+
		"SELECT * FROM (SELECT * FROM log_positions WHERE forwarded_before IS NULL ORDER BY id LIMIT ?)"+
		" UNION ALL SELECT * FROM log_positions WHERE forwarded_before IS NOT NULL) ORDER BY iif(forwarded_before IS NULL, id, -id)", limit)
	if err != nil {
		return p, mapError(ctx, err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id, fingerprint int64
		var before sql.NullInt64
		var position inbox.LogPosition
		if err := rows.Scan(&id, &position.DatabaseID, &position.Sequence, &fingerprint, &before); err != nil {
			return p, mapError(ctx, err)
		}
		position.Fingerprint = uint64(fingerprint)
		if before.Valid {
			p.Checkpoints = append(p.Checkpoints, inbox.Checkpoint{ID: id, Position: position, ForwardedBefore: fromOptional(before.Int64)})
		} else {
			p.Unchecked = append(p.Unchecked, inbox.UncheckedPosition{ID: id, Position: position})
		}
	}
	if err := rows.Err(); err != nil {
		return p, mapError(ctx, err)
	}
	err = s.db.Reader.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM replay)").Scan(&p.Replaying)
	return p, mapError(ctx, err)
}

// ChangePositions implements [inbox.Store].
func (s *Store) ChangePositions(ctx context.Context, change inbox.PositionsChange) error {
	return mapError(ctx, s.db.Write(ctx, func(tx *sql.Tx) error {
		for _, id := range change.Drop {
			if _, err := tx.Exec("DELETE FROM log_positions WHERE id = ?", id); err != nil {
				return err
			}
		}
		if change.Add != nil {
			if err := s.addPosition(tx, change.Add.Position, optional(change.Add.ForwardedBefore)); err != nil {
				return err
			}
		}
		if change.ReplaySince == nil {
			return nil
		}
		_, err := tx.Exec(beginReplay, optional(*change.ReplaySince))
		return err
	}))
}

// addPosition stores a position. forwardedBefore is that of a checkpoint, and nil for another position.
func (s *Store) addPosition(tx *sql.Tx, p inbox.LogPosition, forwardedBefore any) error {
	_, err := tx.Stmt(s.insertPosition).Exec([]byte(p.DatabaseID), p.Sequence, int64(p.Fingerprint), forwardedBefore)
	return err
}

// ReplayStep implements [inbox.Store].
func (s *Store) ReplayStep(ctx context.Context, now time.Time, limit int) (inbox.Replay, error) {
	var r inbox.Replay
	var since int64
	var at inbox.ReplayCursor
	err := s.db.Reader.QueryRowContext(ctx, readReplay).Scan(&since, &at.Before, &at.Through, &r.Requeued, &r.WithoutBody)
	if errors.Is(err, sql.ErrNoRows) {
		return inbox.Replay{Done: true}, nil
	}
	if err != nil {
		return r, mapError(ctx, err)
	}
	// No other process uses the file and nothing else changes a forwarded delivery, so the deliveries can be chosen before the transaction.
	ids, withoutBody, next, more, err := s.scanReplay(ctx, since, at, limit)
	if err != nil {
		return r, mapError(ctx, err)
	}
	r.WithoutBody += withoutBody
	r.Done, r.Ended = !more, !more
	err = s.db.Write(ctx, func(tx *sql.Tx) error {
		requeued, err := s.replay.Exec(context.Background(), tx, []any{unixNano(now), inbox.ReplayDeferrals, inbox.ReasonReplayed}, ids, 1)
		if err != nil {
			return err
		}
		r.Requeued += int(requeued)
		if r.Done {
			_, err = tx.Exec("DELETE FROM replay")
		} else {
			_, err = tx.Exec("UPDATE replay SET before_id = ?, requeued = ?, without_body = ?", next.Before, r.Requeued, r.WithoutBody)
		}
		return err
	})
	if err != nil {
		return inbox.Replay{}, mapError(ctx, err)
	}
	return r, nil
}

// scanReplay returns the ids of the next deliveries to replay, the number of those without a body, and the cursor after them. more is false
// if the replay is over then.
func (s *Store) scanReplay(ctx context.Context, since int64, at inbox.ReplayCursor, limit int) (ids []any, withoutBody int,
	next inbox.ReplayCursor, more bool, err error) {
	rows, err := s.db.Reader.QueryContext(ctx, scanReplay, since, at.Before, at.Lowest(), inbox.MaxReplayScan)
	if err != nil {
		return nil, 0, next, false, err
	}
	defer func() { _ = rows.Close() }()
	var last int64
	scanned := 0
	for len(ids) < limit && rows.Next() {
		var forwarded, hasBody bool
		if err := rows.Scan(&last, &forwarded, &hasBody); err != nil {
			return nil, 0, next, false, err
		}
		scanned++
		switch {
		case forwarded && hasBody:
			ids = append(ids, last)
		case forwarded:
			withoutBody++
		}
	}
	if len(ids) < limit && scanned < inbox.MaxReplayScan {
		next, more = at.Wrap()
	} else {
		next, more = at.Advance(last)
	}
	return ids, withoutBody, next, more, rows.Err()
}

// optional returns a time in nanoseconds since the epoch, 0 for the zero time.
func optional(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return unixNano(t)
}

func fromOptional(nanoseconds int64) time.Time {
	if nanoseconds == 0 {
		return time.Time{}
	}
	return fromUnixNano(nanoseconds)
}
