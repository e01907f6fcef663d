package sqlite

import (
	"context"
	"database/sql"
	"maps"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
)

// Add implements [inbox.Store].
//
// Nearly all deliveries are new, so all are inserted optimistically, many at a time. The deliveries whose key exists, and those with the
// same key as an earlier delivery of the call, are then planned. It makes no difference that these come after the others, because only
// deliveries with the same key affect each other.
func (s *Store) Add(ctx context.Context, incoming []inbox.Incoming) ([]inbox.Action, error) {
	actions := make([]inbox.Action, len(incoming))
	err := s.db.Write(ctx, func(tx *sql.Tx) error {
		rest, err := s.insertNew(tx, incoming)
		if err != nil || len(rest) == 0 {
			return err
		}
		return s.addRest(tx, incoming, rest, actions)
	})
	if err != nil {
		return nil, mapError(ctx, err)
	}
	return actions, nil
}

// insertNew inserts the deliveries whose keys are new, and returns the indexes of the others.
func (s *Store) insertNew(tx *sql.Tx, incoming []inbox.Incoming) (rest []int, err error) {
	optimistic := make(map[inbox.Key]int64, len(incoming)) // the ids of the deliveries that are assumed to be new
	deliveries := make([]any, 0, deliveryColumnCount*len(incoming))
	payloads := make([]any, 0, payloadColumns*len(incoming))
	firsts := make([]int, 0, len(incoming))
	for i := range incoming {
		in := &incoming[i]
		key := in.Key()
		if _, taken := optimistic[key]; taken {
			rest = append(rest, i)
			continue
		}
		id := s.takeID()
		optimistic[key] = id
		deliveries = appendDelivery(deliveries, id, key, in)
		payloads = appendPayload(payloads, id, in)
		firsts = append(firsts, i)
	}
	inserted, err := s.insertDeliveries.Exec(context.Background(), tx, nil, deliveries, deliveryColumnCount)
	if err != nil {
		return nil, err
	}
	if int(inserted) < len(firsts) {
		var conflicts []int
		if payloads, conflicts, err = s.withoutKeyConflicts(tx, incoming, firsts, optimistic); err != nil {
			return nil, err
		}
		rest = append(conflicts, rest...)
	}
	_, err = s.insertPayloads.Exec(context.Background(), tx, nil, payloads, payloadColumns)
	return rest, err
}

// withoutKeyConflicts returns the payloads of the deliveries that were inserted under their id in optimistic. conflicts are the indexes of
// the deliveries that were not inserted, because their key existed before.
func (s *Store) withoutKeyConflicts(tx *sql.Tx, incoming []inbox.Incoming, firsts []int, optimistic map[inbox.Key]int64) (
	payloads []any, conflicts []int, err error) {
	keys := make([]inbox.Key, len(firsts))
	for n, i := range firsts {
		keys[n] = incoming[i].Key()
	}
	existing, err := s.find(tx, keys)
	if err != nil {
		return nil, nil, err
	}
	for n, i := range firsts {
		if id := optimistic[keys[n]]; existing[keys[n]].ID == id {
			payloads = appendPayload(payloads, id, &incoming[i])
		} else {
			conflicts = append(conflicts, i)
		}
	}
	return payloads, conflicts, nil
}

// addRest adds the deliveries with the indexes in rest by the rules, and sets their actions.
func (s *Store) addRest(tx *sql.Tx, incoming []inbox.Incoming, rest []int, actions []inbox.Action) error {
	batch := make([]inbox.Incoming, len(rest))
	for n, i := range rest {
		batch[n] = incoming[i]
	}
	existing, err := s.find(tx, inbox.Keys(batch))
	if err != nil {
		return err
	}
	conflicts, err := s.find(tx, inbox.ConflictKeys(batch, existing))
	if err != nil {
		return err
	}
	maps.Copy(existing, conflicts)
	plan := inbox.NewPlan(batch, existing)
	for n, i := range rest {
		actions[i] = plan.Actions[n]
	}
	return s.carryOut(tx, plan)
}

func (s *Store) carryOut(tx *sql.Tx, plan inbox.Plan) error {
	for _, id := range plan.Deletions {
		if err := deletePayload(tx, id); err != nil {
			return err
		}
		if _, err := tx.Exec("DELETE FROM deliveries WHERE id = ?", id); err != nil {
			return err
		}
	}
	for _, r := range plan.Replacements {
		if err := s.replace(tx, r.ID, r.Incoming); err != nil {
			return err
		}
	}
	var deliveries, payloads []any
	for _, i := range plan.Insertions {
		id := s.takeID()
		deliveries = appendDelivery(deliveries, id, i.Key, i.Incoming)
		payloads = appendPayload(payloads, id, i.Incoming)
	}
	if _, err := s.insertDeliveries.Exec(context.Background(), tx, nil, deliveries, deliveryColumnCount); err != nil {
		return err
	}
	_, err := s.insertPayloads.Exec(context.Background(), tx, nil, payloads, payloadColumns)
	return err
}

func (s *Store) replace(tx *sql.Tx, id int64, in *inbox.Incoming) error {
	if _, err := tx.Exec("UPDATE deliveries SET state = ?, receive_time = ?, next_attempt_time = ?, attempts = 0, deferrals = 0,"+
		" event_name = ?, ticket_id = ?, reason = ?, body_hash = ? WHERE id = ?",
		in.State(), unixNano(in.ReceiveTime), nextAttempt(in), in.EventName, in.TicketID, in.RejectReason, in.BodyHash[:], id); err != nil {
		return err
	}
	if err := deletePayload(tx, id); err != nil {
		return err
	}
	_, err := s.insertPayloads.Exec(context.Background(), tx, nil, appendPayload(nil, id, in), payloadColumns)
	return err
}

func deletePayload(tx *sql.Tx, id int64) error {
	_, err := tx.Exec("DELETE FROM payloads WHERE delivery_id = ?", id)
	return err
}

// find returns the deliveries that are kept under keys.
func (s *Store) find(tx *sql.Tx, keys []inbox.Key) (map[inbox.Key]inbox.Existing, error) {
	args := make([]any, len(keys))
	for i, key := range keys {
		args[i] = []byte(key)
	}
	found := make(map[inbox.Key]inbox.Existing, len(keys))
	err := s.findExisting.Query(context.Background(), tx, args, 1, func(rows *sql.Rows) error {
		var key, hash []byte
		var existing inbox.Existing
		if err := rows.Scan(&key, &existing.ID, &existing.State, &hash); err != nil {
			return err
		}
		copy(existing.BodyHash[:], hash)
		found[inbox.Key(key)] = existing
		return nil
	})
	return found, err
}

// takeID returns an id that no delivery has or ever had. The caller is in a write transaction.
func (s *Store) takeID() int64 {
	s.lastID++
	return s.lastID
}

const (
	deliveryColumnCount = 10
	payloadColumns      = 6
)

func appendDelivery(args []any, id int64, key inbox.Key, in *inbox.Incoming) []any {
	return append(args, id, []byte(key), int64(in.State()), unixNano(in.ReceiveTime), nextAttempt(in), in.EventID, in.EventName, in.TicketID,
		in.RejectReason, in.BodyHash[:])
}

func appendPayload(args []any, id int64, in *inbox.Incoming) []any {
	return append(args, id, in.Body, in.Headers.SignatureTimestamp, in.Headers.ContentType, in.Headers.UserAgent, in.Headers.TraceParent)
}

// nextAttempt returns the time when a new delivery is due, or NULL for never.
func nextAttempt(in *inbox.Incoming) any {
	due, ok := in.DueTime()
	if !ok {
		return nil
	}
	return unixNano(due)
}
