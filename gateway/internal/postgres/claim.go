package postgres

import (
	"context"
	"math"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	"github.com/ticketbridge/ticketbridge/internal/postgresdb"
)

const (
	// noWait makes the commit of this transaction not wait for the disk: a crash of PostgreSQL may undo it.
	noWait = `SET LOCAL synchronous_commit = off`

	// byIndex keeps the planner to the indexes for this transaction. It plans by how the table was when it last looked, and a queue goes
	// from empty to full and back in between. Then it reads and sorts all that is pending, or the whole table, for a hundred rows.
	byIndex = `SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
 set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)`

	// claim passes over what another claim is at just now. It measures the bodies in the order in which deliveries are due, and leaves
	// those for later before which there is enough. $1 is now, $2 the limit, $3 and $4 the lease's end and token, $5 how many bytes are
	// enough, $6 and $7 from when on to look.
	claim = `WITH fresh AS MATERIALIZED (
  SELECT id, due_time FROM gateway.deliveries WHERE state = 1 AND NOT tried AND due_time BETWEEN $6 AND $1
  ORDER BY due_time, id LIMIT $2 FOR UPDATE SKIP LOCKED
), again AS MATERIALIZED (
  SELECT id, due_time FROM gateway.deliveries WHERE state = 1 AND tried AND due_time BETWEEN $7 AND $1
  ORDER BY due_time, id LIMIT $2 - (SELECT count(*) FROM fresh) FOR UPDATE SKIP LOCKED
), due AS (
  SELECT id, false AS tried, due_time FROM fresh UNION ALL SELECT id, true, due_time FROM again
), measured AS MATERIALIZED (
  SELECT due.id, due.tried, due.due_time, p.trace_parent, p.body, sum(octet_length(p.body)) OVER (ORDER BY due.tried, due.due_time, due.id
    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes_before
  FROM due LEFT JOIN gateway.payloads p ON p.delivery_id = due.id
)
UPDATE gateway.deliveries d SET due_time = $3, lease_token = $4
FROM measured m WHERE d.id = m.id AND coalesce(m.bytes_before, 0) <= $5
RETURNING d.id, d.event_id, d.ticket_id, d.attempts, d.deferrals, d.receive_time, d.reason, coalesce(m.trace_parent, ''), m.body,
 m.tried, m.due_time`

	// nextDue has ORDER BY and LIMIT rather than min, which is planned as a walk through all that is pending if there was little of it
	// when the planner last looked.
	nextDue = `SELECT least(
 (SELECT due_time FROM gateway.deliveries WHERE state = 1 AND NOT tried AND due_time >= $1 ORDER BY due_time LIMIT 1),
 (SELECT due_time FROM gateway.deliveries WHERE state = 1 AND tried AND due_time >= $2 ORDER BY due_time LIMIT 1))`
)

// Claim implements [inbox.Store].
//
// Its commit does not wait for the disk. A lease that a crash of PostgreSQL undoes only means that the delivery is claimed again, and
// forwarding it twice does no harm. That is why the lease's token is random and not from a sequence, which a crash may set back: the
// same number could then be given to two.
//
// Leases go by the clocks of the gateways. Where those differ, leases run out that much early or late for one another.
func (s *Store) Claim(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]inbox.Delivery, error) {
	token := 1 + rand.Int64N(math.MaxInt64) //nolint:gosec // It tells leases apart, and is no secret.
	var deliveries []inbox.Delivery
	var freshFound, triedFound int64
	var bytes int
	err := s.db.Write(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		deliveries = make([]inbox.Delivery, 0, limit)
		freshFound, triedFound = math.MaxInt64, math.MaxInt64
		bytes = 0
		fresh, tried := s.front.at(now)
		batch := &pgx.Batch{}
		batch.Queue("begin")
		batch.Queue(noWait)
		batch.Queue(byIndex)
		claiming := batch.Queue(claim, now.UnixNano(), limit, now.Add(lease).UnixNano(), token, inbox.MaxClaimBytes, fresh, tried)
		claiming.Query(func(rows pgx.Rows) error {
			for rows.Next() {
				d, tried, due, err := scanDelivery(rows)
				if err != nil {
					return err
				}
				d.Lease = inbox.Lease{DeliveryID: d.ID, Token: token}
				deliveries = append(deliveries, d)
				bytes += len(d.Body)
				if tried {
					triedFound = min(triedFound, due)
				} else {
					freshFound = min(freshFound, due)
				}
			}
			return rows.Err()
		})
		batch.Queue("commit")
		return conn.SendBatch(ctx, batch).Close()
	})
	if err != nil {
		return nil, translate(err)
	}
	s.front.found(now, freshFound, triedFound, len(deliveries) < limit && bytes <= inbox.MaxClaimBytes)
	return deliveries, nil
}

// scanDelivery returns a claimed delivery, whether it was tried before, and since when it was due.
func scanDelivery(row pgx.Row) (d inbox.Delivery, tried bool, due int64, err error) {
	var receiveTime int64
	if err := row.Scan(&d.ID, &d.EventID, &d.TicketID, &d.Attempts, &d.Deferrals, &receiveTime, &d.Reason, &d.TraceParent, &d.Body,
		&tried, &due); err != nil {
		return d, tried, due, err
	}
	d.ReceiveTime = fromUnixNano(receiveTime)
	for _, text := range []*string{&d.EventID, &d.TicketID, &d.Reason, &d.TraceParent} {
		*text = postgresdb.UnescapeText(*text)
	}
	return d, tried, due, nil
}

// NextDue implements [inbox.Store].
func (s *Store) NextDue(ctx context.Context) (time.Time, bool, error) {
	fresh, tried := s.front.last()
	var due *int64
	if err := s.db.Query(ctx, func(q postgresdb.Querier) error {
		return q.QueryRow(ctx, nextDue, fresh, tried).Scan(&due)
	}); err != nil {
		return time.Time{}, false, translate(err)
	}
	if due == nil {
		return time.Time{}, false, nil
	}
	return fromUnixNano(*due), true, nil
}
