package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
)

// Add implements [inbox.Store].
//
// Nearly all arrivals are new, so they are inserted many at a time on the bet that they are; those that turn out not to be, and those
// that share their key with an earlier arrival of the same call, are then decided on one by one.
func (s *Store) Add(ctx context.Context, arrivals []inbox.Arrival) ([]inbox.Action, error) {
	actions := make([]inbox.Action, len(arrivals))
	err := s.db.Write(ctx, func(tx *sql.Tx) error {
		rest, err := s.insertNew(tx, arrivals)
		if err != nil {
			return err
		}
		for _, i := range rest {
			if actions[i], err = s.addOne(tx, &arrivals[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, translate(err)
	}
	return actions, nil
}

// insertNew inserts the arrivals whose keys are new, and returns the indexes of the others.
func (s *Store) insertNew(tx *sql.Tx, arrivals []inbox.Arrival) (rest []int, err error) {
	id, err := s.nextID(tx)
	if err != nil {
		return nil, err
	}
	bet := make(map[inbox.Key]int64, len(arrivals)) // the ids of the arrivals that are taken to be new
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

// withoutLostBets returns the payloads of those arrivals that were inserted under the id in bet, and the indexes of those that were
// not, because their key was there before.
func (s *Store) withoutLostBets(tx *sql.Tx, arrivals []inbox.Arrival, firsts []int, bet map[inbox.Key]int64) (payloads []any, lost []int, err error) {
	for _, i := range firsts {
		key := arrivals[i].Key()
		kept, err := find(tx, key)
		if err != nil {
			return nil, nil, err
		}
		if kept != nil && kept.id == bet[key] {
			payloads = appendPayload(payloads, kept.id, &arrivals[i])
		} else {
			lost = append(lost, i)
		}
	}
	return payloads, lost, nil
}

// addOne does with an arrival what the rules say, given what is kept.
func (s *Store) addOne(tx *sql.Tx, a *inbox.Arrival) (inbox.Action, error) {
	kept, err := find(tx, a.Key())
	if err != nil {
		return 0, err
	}
	var rule *inbox.Kept
	if kept != nil {
		rule = &kept.Kept
	}
	action := inbox.Decide(rule, a)
	switch action {
	case inbox.Insert:
		err = s.insertOne(tx, a.Key(), a)
	case inbox.Replace:
		err = s.replace(tx, kept.id, a)
	case inbox.SetAside:
		aside, findErr := find(tx, a.BodyKey())
		if findErr != nil || aside != nil {
			return action, findErr
		}
		rejected := *a
		if rejected.RejectReason == "" {
			rejected.RejectReason = inbox.ReasonOtherBody
		}
		err = s.insertOne(tx, a.BodyKey(), &rejected)
	}
	return action, err
}

func (s *Store) insertOne(tx *sql.Tx, key inbox.Key, a *inbox.Arrival) error {
	id, err := s.nextID(tx)
	if err != nil {
		return err
	}
	if _, err := s.insertDeliveries.Exec(context.Background(), tx, nil, appendDelivery(nil, id, key, a), deliveryColumns); err != nil {
		return err
	}
	_, err = s.insertPayloads.Exec(context.Background(), tx, nil, appendPayload(nil, id, a), payloadColumns)
	return err
}

// replace gives an arrival the place of a rejected delivery. The id stays; everything else is the arrival's. Where the same body was set
// aside before, it has its place now.
func (s *Store) replace(tx *sql.Tx, id int64, a *inbox.Arrival) error {
	aside, err := find(tx, a.BodyKey())
	if err != nil {
		return err
	}
	if aside != nil {
		if _, err := tx.Exec("DELETE FROM payloads WHERE delivery_id = ?", aside.id); err != nil {
			return err
		}
		if _, err := tx.Exec("DELETE FROM deliveries WHERE id = ?", aside.id); err != nil {
			return err
		}
	}
	if _, err := tx.Exec("UPDATE deliveries SET state = ?, receive_time = ?, next_attempt_time = ?, attempts = 0, deferrals = 0,"+
		" event_name = ?, ticket_id = ?, reason = ?, body_hash = ? WHERE id = ?",
		a.State(), unixNano(a.ReceiveTime), nextAttempt(a), a.EventName, a.TicketID, a.RejectReason, a.BodyHash[:], id); err != nil {
		return err
	}
	if _, err := tx.Exec("DELETE FROM payloads WHERE delivery_id = ?", id); err != nil {
		return err
	}
	_, err = s.insertPayloads.Exec(context.Background(), tx, nil, appendPayload(nil, id, a), payloadColumns)
	return err
}

type keptDelivery struct {
	id int64
	inbox.Kept
}

// find returns the delivery kept under key, or nil.
func find(tx *sql.Tx, key inbox.Key) (*keptDelivery, error) {
	var kept keptDelivery
	var hash []byte
	err := tx.QueryRow("SELECT id, state, body_hash FROM deliveries WHERE key = ?", []byte(key)).Scan(&kept.id, &kept.State, &hash)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	copy(kept.BodyHash[:], hash)
	return &kept, err
}

// nextID returns an id that no delivery has or ever had. The transaction has the write lock, so it stays free until it is used.
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

// nextAttempt is when a new delivery is due: at once when it is good, never when it is not.
func nextAttempt(a *inbox.Arrival) any {
	if a.State() != inbox.Pending {
		return nil
	}
	return unixNano(a.ReceiveTime)
}
