package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	"github.com/ticketbridge/ticketbridge/internal/postgresdb"
)

const (
	insertPosition = `INSERT INTO gateway.log_positions (database_id, sequence, fingerprint, forwarded_before) VALUES ($1, $2, $3, $4)`
	readPositions  = `SELECT id, database_id, sequence, fingerprint, forwarded_before FROM (
  (SELECT id, database_id, sequence, fingerprint, forwarded_before FROM gateway.log_positions WHERE forwarded_before IS NULL
   ORDER BY id LIMIT $1)
  UNION ALL SELECT id, database_id, sequence, fingerprint, forwarded_before FROM gateway.log_positions WHERE forwarded_before IS NOT NULL
 ) AS positions ORDER BY CASE WHEN forwarded_before IS NULL THEN id ELSE -id END`
	isReplaying   = `SELECT EXISTS (SELECT 1 FROM gateway.replay)`
	dropPositions = `DELETE FROM gateway.log_positions WHERE id = ANY($1)`

	// beginReplay makes the replay cover every existing delivery, as [inbox.ReplayCursor] says.
	beginReplay = `INSERT INTO gateway.replay AS r (one, since, before_id, through_id) VALUES (1, $1, 9223372036854775807, 0)
 ON CONFLICT (one) DO UPDATE SET since = least(r.since, excluded.since), through_id = r.before_id`
	// lockReplay lets only one gateway at a time take a step.
	lockReplay = `SELECT since, before_id, through_id, requeued, without_body FROM gateway.replay FOR UPDATE`
	// replayStep makes the next deliveries pending. It reads $4 deliveries with ids below $2 and not below $3, and takes at most $5 of those
	// that were forwarded at $1 or later. $6 is their due time, $7 their number of deferrals, $8 their reason.
	replayStep = `WITH scanned AS MATERIALIZED (
  SELECT id, state, forward_time FROM gateway.deliveries WHERE id < $2 AND id >= $3 ORDER BY id DESC LIMIT $4
), lost AS MATERIALIZED (
  SELECT id, EXISTS (SELECT 1 FROM gateway.payloads p WHERE p.delivery_id = scanned.id) AS has_body
  FROM scanned WHERE state = 2 AND forward_time >= $1 ORDER BY id DESC LIMIT $5
), requeued AS (
  UPDATE gateway.deliveries d SET state = 1, forward_time = NULL, next_attempt_time = $6, due_time = $6, lease_token = 0, attempts = 0,
   deferrals = $7, reason = $8
  FROM lost WHERE d.id = lost.id AND lost.has_body AND d.state + 0 = 2 RETURNING d.id
)
SELECT (SELECT count(*) FROM requeued), (SELECT count(*) FROM lost WHERE NOT has_body), (SELECT count(*) FROM lost),
 (SELECT coalesce(min(id), 0) FROM lost), (SELECT count(*) FROM scanned), (SELECT coalesce(min(id), 0) FROM scanned)`
	moveReplay = `UPDATE gateway.replay SET before_id = $1, requeued = $2, without_body = $3`
	endReplay  = `DELETE FROM gateway.replay`
)

// LogPositions implements [inbox.Store].
func (s *Store) LogPositions(ctx context.Context, limit int) (p inbox.LogPositions, err error) {
	err = s.db.Query(ctx, func(q postgresdb.Querier) error {
		p = inbox.LogPositions{}
		rows, err := q.Query(ctx, readPositions, limit)
		if err != nil {
			return err
		}
		var id, fingerprint int64
		var databaseID []byte
		var before *int64
		var position inbox.LogPosition
		_, err = pgx.ForEachRow(rows, []any{&id, &databaseID, &position.Sequence, &fingerprint, &before}, func() error {
			position.DatabaseID, position.Fingerprint = string(databaseID), uint64(fingerprint)
			if before != nil {
				p.Checkpoints = append(p.Checkpoints, inbox.Checkpoint{ID: id, Position: position, ForwardedBefore: fromOptional(*before)})
			} else {
				p.Unchecked = append(p.Unchecked, inbox.UncheckedPosition{ID: id, Position: position})
			}
			return nil
		})
		if err != nil {
			return err
		}
		return q.QueryRow(ctx, isReplaying).Scan(&p.Replaying)
	})
	return p, mapError(err)
}

// ChangePositions implements [inbox.Store].
//
// The commit waits for the disk only if a replay begins. If a crash of PostgreSQL undoes a checkpoint, the positions are unchecked again,
// so they are checked once more.
func (s *Store) ChangePositions(ctx context.Context, change inbox.PositionsChange) error {
	return mapError(s.db.Write(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		batch := &pgx.Batch{}
		batch.Queue("begin")
		if change.ReplaySince == nil {
			batch.Queue(noWait)
		}
		batch.Queue(dropPositions, change.Drop)
		if c := change.Add; c != nil {
			batch.Queue(insertPosition, []byte(c.Position.DatabaseID), c.Position.Sequence, int64(c.Position.Fingerprint),
				optional(c.ForwardedBefore))
		}
		if change.ReplaySince != nil {
			batch.Queue(beginReplay, optional(*change.ReplaySince))
		}
		batch.Queue("commit")
		return conn.SendBatch(ctx, batch).Close()
	}))
}

// ReplayStep implements [inbox.Store].
func (s *Store) ReplayStep(ctx context.Context, now time.Time, limit int) (r inbox.Replay, err error) {
	err = s.db.Write(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		r = inbox.Replay{}
		var since int64
		var at inbox.ReplayCursor
		begin := &pgx.Batch{}
		begin.Queue("begin")
		begin.Queue(byIndex)
		begin.Queue(lockReplay).QueryRow(func(row pgx.Row) error {
			err := row.Scan(&since, &at.Before, &at.Through, &r.Requeued, &r.WithoutBody)
			if r.Done = errors.Is(err, pgx.ErrNoRows); r.Done {
				return nil
			}
			return err
		})
		if err := conn.SendBatch(ctx, begin).Close(); err != nil {
			return err
		}
		end := &pgx.Batch{}
		if !r.Done {
			var requeued, withoutBody, lost, scanned int
			var lastLost, lastScanned int64
			if err := conn.QueryRow(ctx, replayStep, since, at.Before, at.Lowest(), inbox.MaxReplayScan, limit, now.UnixNano(),
				inbox.ReplayDeferrals, inbox.ReasonReplayed,
			).Scan(&requeued, &withoutBody, &lost, &lastLost, &scanned, &lastScanned); err != nil {
				return err
			}
			r.Requeued += requeued
			r.WithoutBody += withoutBody
			last := lastScanned
			if lost == limit {
				last = lastLost
			}
			next, more := at.Advance(last)
			if lost < limit && scanned < inbox.MaxReplayScan {
				next, more = at.Wrap()
			}
			if more {
				end.Queue(moveReplay, next.Before, r.Requeued, r.WithoutBody)
			} else {
				r.Done, r.Ended = true, true
				end.Queue(endReplay)
			}
		}
		end.Queue("commit")
		return conn.SendBatch(ctx, end).Close()
	})
	if err != nil {
		return inbox.Replay{}, mapError(err)
	}
	return r, nil
}

// optional returns a time in nanoseconds since the epoch, 0 for the zero time.
func optional(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func fromOptional(nanoseconds int64) time.Time {
	if nanoseconds == 0 {
		return time.Time{}
	}
	return fromUnixNano(nanoseconds)
}
