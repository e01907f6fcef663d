package postgres

import (
	"cmp"
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	"github.com/ticketbridge/ticketbridge/internal/postgresdb"
)

const (
	findExisting = `SELECT key, id, state, body_hash FROM gateway.deliveries WHERE key = ANY($1)`
	lockExisting = `SELECT FROM gateway.deliveries WHERE key = ANY($1) ORDER BY key FOR UPDATE`
	// newIDs returns ids that no delivery has or ever had.
	newIDs = `SELECT nextval('gateway.delivery_ids') FROM generate_series(1, $1)`

	deletePayloads   = `DELETE FROM gateway.payloads WHERE delivery_id = ANY($1)`
	deleteDeliveries = `DELETE FROM gateway.deliveries WHERE id = ANY($1)`

	deliveryRows = `unnest($1::bigint[], $2::bytea[], $3::smallint[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::text[],
 $9::text[], $10::bytea[]) AS n (id, key, state, receive_time, due_time, event_id, event_name, ticket_id, reason, body_hash)`
	// The id, the key and the event stay.
	replaceDeliveries = `UPDATE gateway.deliveries d SET state = n.state, receive_time = n.receive_time, next_attempt_time = n.due_time,
 due_time = n.due_time, attempts = 0, deferrals = 0, event_name = n.event_name, ticket_id = n.ticket_id, reason = n.reason,
 body_hash = n.body_hash FROM ` + deliveryRows + ` WHERE d.id = n.id`
	insertDeliveries = `INSERT INTO gateway.deliveries
 (id, key, state, receive_time, next_attempt_time, due_time, event_id, event_name, ticket_id, reason, body_hash)
 SELECT id, key, state, receive_time, due_time, due_time, event_id, event_name, ticket_id, reason, body_hash FROM ` + deliveryRows
	insertPayloads = `INSERT INTO gateway.payloads (delivery_id, body, signature_timestamp, content_type, user_agent, trace_parent)
 SELECT id, body, signature_timestamp, content_type, user_agent, trace_parent
 FROM unnest($1::bigint[], $2::bytea[], $3::text[], $4::text[], $5::text[], $6::text[])
 AS n (id, body, signature_timestamp, content_type, user_agent, trace_parent)`
)

// Add implements [inbox.Store].
//
// If all deliveries are new events or exact duplicates, it makes two round trips to the server: the first looks up the existing deliveries
// under their keys, the second inserts the new ones and commits. If another gateway adds a delivery with the same key in between, that
// causes a unique violation, and all is retried. If nothing is new, the commit still waits for the standbys, because they may not have the
// existing deliveries yet.
func (s *Store) Add(ctx context.Context, incoming []inbox.Incoming) ([]inbox.Action, error) {
	var actions []inbox.Action
	err := s.db.Write(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		existing, ids, err := lookUp(ctx, conn, incoming)
		if err != nil {
			return err
		}
		if err := lock(ctx, conn, incoming, existing); err != nil {
			return err
		}
		plan := inbox.NewPlan(incoming, existing)
		actions = plan.Actions
		return carryOut(ctx, conn, plan, ids)
	})
	if err != nil {
		return nil, mapError(err)
	}
	s.added.Notify()
	return actions, nil
}

// lookUp begins the transaction, looks up the existing deliveries under the keys of the incoming ones, and reserves an id for each.
func lookUp(ctx context.Context, conn *pgx.Conn, incoming []inbox.Incoming) (existing map[inbox.Key]inbox.Existing, ids []int64,
	err error) {
	existing = make(map[inbox.Key]inbox.Existing)
	batch := &pgx.Batch{}
	batch.Queue("begin")
	batch.Queue(findExisting, toBytes(inbox.Keys(incoming))).Query(into(existing))
	batch.Queue(newIDs, len(incoming)).Query(func(rows pgx.Rows) error {
		ids, err = pgx.CollectRows(rows, pgx.RowTo[int64])
		return err
	})
	err = conn.SendBatch(ctx, batch).Close()
	return existing, ids, err
}

// lock locks the existing deliveries that may change while the incoming ones are planned, and looks up the bodies that the plan also
// depends on.
//
// Only a change of a rejected delivery can change a decision: a good delivery can replace it, and drop a body that was set aside. So a
// transaction that decides by a rejected delivery holds the delivery's row until the commit, and reads the row again after it has the lock.
// All transactions lock in the order of keys, in one statement. A second statement then reads the rows, because a statement that waited for
// a lock does not see the rows that the lock's holder has added.
func lock(ctx context.Context, conn *pgx.Conn, incoming []inbox.Incoming, existing map[inbox.Key]inbox.Existing) error {
	unsure := inbox.ConflictKeys(incoming, existing)
	if len(unsure) == 0 {
		return nil
	}
	for key, e := range existing {
		if e.State == inbox.Rejected {
			unsure = append(unsure, key)
		}
	}
	for _, key := range unsure {
		delete(existing, key)
	}
	batch := &pgx.Batch{}
	batch.Queue(lockExisting, toBytes(unsure))
	batch.Queue(findExisting, toBytes(unsure)).Query(into(existing))
	return conn.SendBatch(ctx, batch).Close()
}

// carryOut writes the plan, and commits. ids are enough for its insertions.
func carryOut(ctx context.Context, conn *pgx.Conn, plan inbox.Plan, ids []int64) error {
	batch := &pgx.Batch{}
	var payloads payloadColumns
	if len(plan.Deletions) > 0 {
		batch.Queue(deletePayloads, plan.Deletions)
		batch.Queue(deleteDeliveries, plan.Deletions)
	}
	if len(plan.Replacements) > 0 {
		var columns deliveryArrays
		for _, r := range plan.Replacements {
			columns.add(r.ID, r.Incoming.Key(), r.Incoming)
			payloads.add(r.ID, r.Incoming)
		}
		batch.Queue(deletePayloads, columns.ids)
		batch.Queue(replaceDeliveries, columns.arguments()...)
	}
	if len(plan.Insertions) > 0 {
		// Sorted, so that gateways that insert the same events wait for one another in the same order.
		slices.SortFunc(plan.Insertions, func(a, b inbox.Insertion) int { return cmp.Compare(a.Key, b.Key) })
		var columns deliveryArrays
		for n, i := range plan.Insertions {
			columns.add(ids[n], i.Key, i.Incoming)
			payloads.add(ids[n], i.Incoming)
		}
		batch.Queue(insertDeliveries, columns.arguments()...)
	}
	payloads.queue(batch)
	postgresdb.QueueCommit(batch, batch.Len() > 0)
	return conn.SendBatch(ctx, batch).Close()
}

// into returns a function that reads the result of findExisting.
func into(found map[inbox.Key]inbox.Existing) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		var key, hash []byte
		var existing inbox.Existing
		_, err := pgx.ForEachRow(rows, []any{&key, &existing.ID, &existing.State, &hash}, func() error {
			copy(existing.BodyHash[:], hash)
			found[inbox.Key(key)] = existing
			return nil
		})
		return err
	}
}

func toBytes(keys []inbox.Key) [][]byte {
	converted := make([][]byte, len(keys))
	for i, key := range keys {
		converted[i] = []byte(key)
	}
	return converted
}

// deliveryArrays are rows of deliveries, as arrays for unnest.
type deliveryArrays struct {
	ids                                      []int64
	keys, bodyHashes                         [][]byte
	states                                   []int16
	receiveTimes                             []int64
	dueTimes                                 []*int64
	eventIDs, eventNames, ticketIDs, reasons []string
}

func (c *deliveryArrays) add(id int64, key inbox.Key, in *inbox.Incoming) {
	c.ids = append(c.ids, id)
	c.keys = append(c.keys, []byte(key))
	c.states = append(c.states, int16(in.State()))
	c.receiveTimes = append(c.receiveTimes, in.ReceiveTime.UnixNano())
	c.dueTimes = append(c.dueTimes, nil)
	if due, ok := in.DueTime(); ok {
		nanoseconds := due.UnixNano()
		c.dueTimes[len(c.dueTimes)-1] = &nanoseconds
	}
	c.eventIDs = append(c.eventIDs, postgresdb.EscapeText(in.EventID))
	c.eventNames = append(c.eventNames, postgresdb.EscapeText(in.EventName))
	c.ticketIDs = append(c.ticketIDs, postgresdb.EscapeText(in.TicketID))
	c.reasons = append(c.reasons, postgresdb.EscapeText(in.RejectReason))
	c.bodyHashes = append(c.bodyHashes, in.BodyHash[:])
}

func (c *deliveryArrays) arguments() []any {
	return []any{c.ids, c.keys, c.states, c.receiveTimes, c.dueTimes, c.eventIDs, c.eventNames, c.ticketIDs, c.reasons, c.bodyHashes}
}

// maxInsertBytes is about the maximum number of bytes of bodies that one statement inserts: an array can't be larger than 1 GB, and the
// server holds each in memory more than once.
const maxInsertBytes = 8 << 20

// payloadColumns are rows of payloads, as arrays for unnest.
type payloadColumns struct {
	ids                                                         []int64
	bodies                                                      [][]byte
	signatureTimestamps, contentTypes, userAgents, traceParents []string
}

func (c *payloadColumns) add(id int64, in *inbox.Incoming) {
	c.ids = append(c.ids, id)
	c.bodies = append(c.bodies, in.Body)
	c.signatureTimestamps = append(c.signatureTimestamps, postgresdb.EscapeText(in.Headers.SignatureTimestamp))
	c.contentTypes = append(c.contentTypes, postgresdb.EscapeText(in.Headers.ContentType))
	c.userAgents = append(c.userAgents, postgresdb.EscapeText(in.Headers.UserAgent))
	c.traceParents = append(c.traceParents, postgresdb.EscapeText(in.Headers.TraceParent))
}

// queue queues the statements that insert the rows.
func (c *payloadColumns) queue(batch *pgx.Batch) {
	for from := 0; from < len(c.ids); {
		to, bytes := from, 0
		for to < len(c.ids) && (to == from || bytes+len(c.bodies[to]) <= maxInsertBytes) {
			bytes += len(c.bodies[to])
			to++
		}
		batch.Queue(insertPayloads, c.ids[from:to], c.bodies[from:to], c.signatureTimestamps[from:to], c.contentTypes[from:to],
			c.userAgents[from:to], c.traceParents[from:to])
		from = to
	}
}
