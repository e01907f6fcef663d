package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	"github.com/ticketbridge/ticketbridge/internal/postgresdb"
)

// The condition on the state is written as state + 0, so that the planner does not use the index of pending deliveries: there may be a
// million of them, while each row is found at once by its id.
const (
	forward = `UPDATE gateway.deliveries d SET state = 2, forward_time = $3, next_attempt_time = NULL, due_time = NULL, lease_token = 0,
 reason = '' FROM unnest($1::bigint[], $2::bigint[]) AS s (id, token)
 WHERE d.id = s.id AND d.lease_token = s.token AND d.state + 0 = 1`
	finish = `UPDATE gateway.deliveries d SET state = s.state, reason = s.reason, attempts = s.attempts, deferrals = s.deferrals,
 next_attempt_time = CASE s.state WHEN 1 THEN s.next_attempt_time END, due_time = CASE s.state WHEN 1 THEN s.next_attempt_time END,
 lease_token = 0
 FROM unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::text[], $5::int[], $6::int[], $7::bigint[])
 AS s (id, token, state, reason, attempts, deferrals, next_attempt_time)
 WHERE d.id = s.id AND d.lease_token = s.token AND d.state + 0 = 1`
)

// Finish implements [inbox.Store].
//
// If all deliveries were forwarded, the commit does not wait for the disk: if a crash of PostgreSQL undoes it, the deliveries are claimed
// and forwarded once more, which does no harm. Otherwise the commit waits. The count of failed tries must not be lost, or an event that
// crashes the machine would be retried for ever. A delivery that was reported as dead must stay dead.
//
// If the answer to the commit is lost, [postgresdb.DB.Write] retries the transaction and finds the leases used. Then outcomes count as
// lost that were not. The only consequence is a warning in the log.
func (s *Store) Finish(ctx context.Context, now time.Time, outcomes []inbox.Outcome) (lost int, err error) {
	forwarded, others := columnsOf(outcomes)
	positions := inbox.ForwardedPositions(outcomes)
	changed := 0
	err = s.db.Write(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		changed = 0
		batch := &pgx.Batch{}
		batch.Queue("begin")
		batch.Queue(byIndex)
		if len(others.ids) == 0 {
			batch.Queue(noWait)
		}
		if len(forwarded.ids) > 0 {
			batch.Queue(forward, forwarded.ids, forwarded.tokens, now.UnixNano()).Exec(countInto(&changed))
		}
		for _, p := range positions {
			batch.Queue(insertPosition, []byte(p.DatabaseID), p.Sequence, int64(p.Fingerprint), nil)
		}
		if len(others.ids) > 0 {
			batch.Queue(finish, others.ids, others.tokens, others.states, others.reasons, others.attempts, others.deferrals,
				others.nextAttemptTimes).Exec(countInto(&changed))
		}
		batch.Queue("commit")
		return conn.SendBatch(ctx, batch).Close()
	})
	if err != nil {
		return 0, mapError(err)
	}
	return len(outcomes) - changed, nil
}

func countInto(changed *int) func(pgconn.CommandTag) error {
	return func(tag pgconn.CommandTag) error {
		*changed += int(tag.RowsAffected())
		return nil
	}
}

// outcomeColumns are outcomes, as arrays for unnest.
type outcomeColumns struct {
	ids, tokens         []int64
	states              []int16
	reasons             []string
	attempts, deferrals []int32
	nextAttemptTimes    []int64
}

// columnsOf returns the outcomes to [inbox.Forwarded], and the others. If several have the same lease, the first counts.
func columnsOf(outcomes []inbox.Outcome) (forwarded, others *outcomeColumns) {
	forwarded, others = &outcomeColumns{}, &outcomeColumns{}
	used := make(map[inbox.Lease]struct{}, len(outcomes))
	for i := range outcomes {
		o := &outcomes[i]
		if _, isUsed := used[o.Lease]; isUsed {
			continue
		}
		used[o.Lease] = struct{}{}
		if o.State == inbox.Forwarded {
			forwarded.add(o)
		} else {
			others.add(o)
		}
	}
	return forwarded, others
}

func (c *outcomeColumns) add(o *inbox.Outcome) {
	c.ids = append(c.ids, o.Lease.DeliveryID)
	c.tokens = append(c.tokens, o.Lease.Token)
	c.states = append(c.states, int16(o.State))
	c.reasons = append(c.reasons, postgresdb.EscapeText(o.Reason))
	c.attempts = append(c.attempts, int32(o.Attempts))
	c.deferrals = append(c.deferrals, int32(o.Deferrals))
	c.nextAttemptTimes = append(c.nextAttemptTimes, o.NextAttemptTime.UnixNano())
}
