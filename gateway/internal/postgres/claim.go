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
	// noWait makes the commit of this transaction not wait for the disk. A crash of PostgreSQL may undo the commit.
	noWait = `SET LOCAL synchronous_commit = off`

	// byIndex makes the planner use the indexes in this transaction. The planner uses statistics of the table from its last analysis, and in
	// between a queue goes from empty to full and back. Then the planner would read and sort all pending deliveries, or the whole table, for a
	// hundred rows.
	byIndex = `SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
 set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)`

	// claim skips deliveries that another claim has locked. It measures the bodies in the order in which deliveries are due. When the bodies
	// exceed the limit of bytes, it leaves the remaining deliveries for later. $1 is now, $2 the limit, $3 and $4 the lease's end and token,
	// $5 the limit of bytes, $6 and $7 the due times from which on to look.
	claim = `WITH fresh AS MATERIALIZED (
  SELECT id, due_time FROM gateway.deliveries WHERE state = 1 AND NOT tried AND due_time BETWEEN $6 AND $1
  ORDER BY due_time, id LIMIT $2 FOR UPDATE SKIP LOCKED
), retried AS MATERIALIZED (
  SELECT id, due_time FROM gateway.deliveries WHERE state = 1 AND tried AND due_time BETWEEN $7 AND $1
  ORDER BY due_time, id LIMIT $2 - (SELECT count(*) FROM fresh) FOR UPDATE SKIP LOCKED
), due AS (
  SELECT id, false AS tried, due_time FROM fresh UNION ALL SELECT id, true, due_time FROM retried
), measured AS MATERIALIZED (
  SELECT due.id, due.tried, due.due_time, p.trace_parent, p.body, sum(octet_length(p.body)) OVER (ORDER BY due.tried, due.due_time, due.id
    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes_before
  FROM due LEFT JOIN gateway.payloads p ON p.delivery_id = due.id
)
UPDATE gateway.deliveries d SET due_time = $3, lease_token = $4
FROM measured m WHERE d.id = m.id AND coalesce(m.bytes_before, 0) <= $5
RETURNING d.id, d.event_id, d.ticket_id, d.attempts, d.deferrals, d.receive_time, d.reason, coalesce(m.trace_parent, ''), m.body,
 m.tried, m.due_time`

	// nextDue uses ORDER BY and LIMIT instead of min. min is planned as a scan of all pending deliveries if there were few at the planner's
	// last analysis.
	nextDue = `SELECT least(
 (SELECT due_time FROM gateway.deliveries WHERE state = 1 AND NOT tried AND due_time >= $1 ORDER BY due_time LIMIT 1),
 (SELECT due_time FROM gateway.deliveries WHERE state = 1 AND tried AND due_time >= $2 ORDER BY due_time LIMIT 1))`
)

// Claim implements [inbox.Store].
//
// Its commit does not wait for the disk. If a crash of PostgreSQL undoes a lease, the delivery is only claimed again, and forwarding it
// twice does no harm. So the lease's token is random and not from a sequence, which a crash may set back: two claims could then get the
// same number.
//
// Leases use the clocks of the gateways. If these clocks differ, leases end early or late for other gateways, by the difference.
func (s *Store) Claim(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]inbox.Delivery, error) {
	token := 1 + rand.Int64N(math.MaxInt64) //nolint:gosec // It distinguishes leases, and is no secret.
	var deliveries []inbox.Delivery
	var freshFound, triedFound int64
	var bytes int
	err := s.db.Write(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		deliveries = make([]inbox.Delivery, 0, limit)
		freshFound, triedFound = math.MaxInt64, math.MaxInt64
		bytes = 0
		fresh, tried := s.floor.at(now)
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
		return nil, mapError(err)
	}
	s.floor.record(now, freshFound, triedFound, len(deliveries) < limit && bytes <= inbox.MaxClaimBytes)
	return deliveries, nil
}

// scanDelivery returns a claimed delivery, whether it was tried before, and the time when it was due.
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
	fresh, tried := s.floor.last()
	var due *int64
	if err := s.db.Query(ctx, func(q postgresdb.Querier) error {
		return q.QueryRow(ctx, nextDue, fresh, tried).Scan(&due)
	}); err != nil {
		return time.Time{}, false, mapError(err)
	}
	if due == nil {
		return time.Time{}, false, nil
	}
	return fromUnixNano(*due), true, nil
}
