package sqlite

import (
	"context"
	"database/sql"
	"maps"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
)

// Add implements [inbox.Store].
//
// Nearly all arrivals are new, so all are inserted optimistically, many at a time. Arrivals that turn out not to be new, and those with the
// same key as an earlier arrival of the call, are then planned. It makes no difference that these come after the others, because only
// arrivals with the same key affect each other.
func (s *Store) Add(ctx context.Context, arrivals []inbox.Arrival) ([]inbox.Action, error) {
	actions := make([]inbox.Action, len(arrivals))
	err := s.db.Write(ctx, func(tx *sql.Tx) error {
		rest, err := s.insertNew(tx, arrivals)
		if err != nil || len(rest) == 0 {
			return err
		}
		return s.addRest(tx, arrivals, rest, actions)
	})
	if err != nil {
		return nil, translate(ctx, err)
	}
	return actions, nil
}

// insertNew inserts the arrivals whose keys are new, and returns the indexes of the others.
func (s *Store) insertNew(tx *sql.Tx, arrivals []inbox.Arrival) (rest []int, err error) {
	id, err := s.nextID(tx)
	if err != nil {
		return nil, err
	}
	bet := make(map[inbox.Key]int64, len(arrivals)) // the ids of the arrivals that are assumed to be new
	deliveries := make([]any, 0, deliveryColumns*len(arrivals))
	payloads := make([]any, 0, payloadColumns*len(arrivals))
	firsts := make([]int, 0, len(arrivals))
	for i := range arrivals {
		a := &arrivals[i]
		key := a.Key()
		if _, taken := bet[key]; taken {
			rest = append(rest, i)
			continue
		}
		bet[key] = id
		deliveries = appendDelivery(deliveries, id, key, a)
		payloads = appendPayload(payloads, id, a)
		firsts = append(firsts, i)
		id++
	}
	inserted, err := s.insertDeliveries.Exec(context.Background(), tx, nil, deliveries, deliveryColumns)
	if err != nil {
		return nil, err
	}
	if int(inserted) < len(firsts) {
		var lost []int
		if payloads, lost, err = s.withoutLostBets(tx, arrivals, firsts, bet); err != nil {
			return nil, err
		}
		rest = append(lost, rest...)
	}
	_, err = s.insertPayloads.Exec(context.Background(), tx, nil, payloads, payloadColumns)
	return rest, err
}

// withoutLostBets returns the payloads of the arrivals that were inserted under their id in bet. It returns the indexes of those that were
// not, because their key existed before.
func (s *Store) withoutLostBets(tx *sql.Tx, arrivals []inbox.Arrival, firsts []int, bet map[inbox.Key]int64) (
	payloads []any, lost []int, err error) {
	keys := make([]inbox.Key, len(firsts))
	for n, i := range firsts {
		keys[n] = arrivals[i].Key()
	}
	kept, err := s.find(tx, keys)
	if err != nil {
		return nil, nil, err
	}
	for n, i := range firsts {
		if id := bet[keys[n]]; kept[keys[n]].ID == id {
			payloads = appendPayload(payloads, id, &arrivals[i])
		} else {
			lost = append(lost, i)
		}
	}
	return payloads, lost, nil
}

// addRest adds the arrivals with the indexes in rest by the rules, and sets their actions.
func (s *Store) addRest(tx *sql.Tx, arrivals []inbox.Arrival, rest []int, actions []inbox.Action) error {
	batch := make([]inbox.Arrival, len(rest))
	for n, i := range rest {
		batch[n] = arrivals[i]
	}
	kept, err := s.find(tx, inbox.Keys(batch))
	if err != nil {
		return err
	}
	asides, err := s.find(tx, inbox.AsideKeys(batch, kept))
	if err != nil {
		return err
	}
	maps.Copy(kept, asides)
	plan := inbox.NewPlan(batch, kept)
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
		if err := s.replace(tx, r.ID, r.Arrival); err != nil {
			return err
		}
	}
	id, err := s.nextID(tx)
	if err != nil {
		return err
	}
	var deliveries, payloads []any
	for _, i := range plan.Insertions {
		deliveries = appendDelivery(deliveries, id, i.Key, i.Arrival)
		payloads = appendPayload(payloads, id, i.Arrival)
		id++
	}
	if _, err := s.insertDeliveries.Exec(context.Background(), tx, nil, deliveries, deliveryColumns); err != nil {
		return err
	}
	_, err = s.insertPayloads.Exec(context.Background(), tx, nil, payloads, payloadColumns)
	return err
}

func (s *Store) replace(tx *sql.Tx, id int64, a *inbox.Arrival) error {
	if _, err := tx.Exec("UPDATE deliveries SET state = ?, receive_time = ?, next_attempt_time = ?, attempts = 0, deferrals = 0,"+
		" event_name = ?, ticket_id = ?, reason = ?, body_hash = ? WHERE id = ?",
		a.State(), unixNano(a.ReceiveTime), nextAttempt(a), a.EventName, a.TicketID, a.RejectReason, a.BodyHash[:], id); err != nil {
		return err
	}
	if err := deletePayload(tx, id); err != nil {
		return err
	}
	_, err := s.insertPayloads.Exec(context.Background(), tx, nil, appendPayload(nil, id, a), payloadColumns)
	return err
}

func deletePayload(tx *sql.Tx, id int64) error {
	_, err := tx.Exec("DELETE FROM payloads WHERE delivery_id = ?", id)
	return err
}

// find returns the deliveries that are kept under keys.
func (s *Store) find(tx *sql.Tx, keys []inbox.Key) (map[inbox.Key]inbox.Kept, error) {
	args := make([]any, len(keys))
	for i, key := range keys {
		args[i] = []byte(key)
	}
	found := make(map[inbox.Key]inbox.Kept, len(keys))
	err := s.findKept.Query(context.Background(), tx, args, 1, func(rows *sql.Rows) error {
		var key, hash []byte
		var kept inbox.Kept
		if err := rows.Scan(&key, &kept.ID, &kept.State, &hash); err != nil {
			return err
		}
		copy(kept.BodyHash[:], hash)
		found[inbox.Key(key)] = kept
		return nil
	})
	return found, err
}

// nextID returns an id that no delivery has or ever had. The transaction has the write lock, so nobody else can take the id.
func (s *Store) nextID(tx *sql.Tx) (int64, error) {
	var last int64
	err := tx.Stmt(s.lastID).QueryRow().Scan(&last)
	return last + 1, err
}

const (
	deliveryColumns = 10
	payloadColumns  = 6
)

func appendDelivery(args []any, id int64, key inbox.Key, a *inbox.Arrival) []any {
	return append(args, id, []byte(key), int64(a.State()), unixNano(a.ReceiveTime), nextAttempt(a), a.EventID, a.EventName, a.TicketID,
		a.RejectReason, a.BodyHash[:])
}

func appendPayload(args []any, id int64, a *inbox.Arrival) []any {
	return append(args, id, a.Body, a.Headers.SignatureTimestamp, a.Headers.ContentType, a.Headers.UserAgent, a.Headers.TraceParent)
}

// nextAttempt returns the time when a new delivery is due, or NULL for never.
func nextAttempt(a *inbox.Arrival) any {
	due, ok := a.DueTime()
	if !ok {
		return nil
	}
	return unixNano(due)
}
