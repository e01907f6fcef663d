package sqlite

import (
	"context"
	"database/sql"
	"maps"
	"slices"
	"time"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
)

// Claim implements [inbox.Store].
func (s *Store) Claim(ctx context.Context, now time.Time, period time.Duration, limit int) ([]inbox.Delivery, error) {
	s.claiming.Lock()
	defer s.claiming.Unlock()
	// The leases are read before the rows. If the lease of a delivery is gone by then, the delivery was finished before, so the rows show it
	// as finished.
	before := s.leasesNow()
	ids, err := s.due(ctx, now, limit, before)
	if err != nil {
		return nil, mapError(ctx, err)
	}
	if ids, err = s.notTooLarge(ctx, ids); err != nil {
		return nil, mapError(ctx, err)
	}
	deliveries := make([]inbox.Delivery, 0, len(ids))
	if err := s.fetch.Query(ctx, nil, ids, 1, func(rows *sql.Rows) error {
		var d inbox.Delivery
		var receiveTime int64
		if err := rows.Scan(&d.ID, &d.EventID, &d.TicketID, &d.Attempts, &d.Deferrals, &receiveTime, &d.Reason, &d.TraceParent,
			&d.Body); err != nil {
			return err
		}
		d.ReceiveTime = fromUnixNano(receiveTime)
		deliveries = append(deliveries, d)
		return nil
	}); err != nil {
		return nil, mapError(ctx, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// A delivery whose lease had ended may have been finished since, or may be being finished. Then its row is out of date.
	deliveries = slices.DeleteFunc(deliveries, func(d inbox.Delivery) bool { return s.leases[d.ID] != before[d.ID] })
	for i := range deliveries {
		s.lastToken++
		deliveries[i].Lease = inbox.Lease{DeliveryID: deliveries[i].ID, Token: s.lastToken}
		s.leases[deliveries[i].ID] = lease{token: s.lastToken, until: now.Add(period)}
	}
	return deliveries, nil
}

// notTooLarge returns the first of the ids, up to the one with which the bodies exceed MaxClaimBytes.
func (s *Store) notTooLarge(ctx context.Context, ids []any) ([]any, error) {
	sizes := make(map[any]int, len(ids))
	if err := s.measure.Query(ctx, nil, ids, 1, func(rows *sql.Rows) error {
		var id int64
		var size int
		err := rows.Scan(&id, &size)
		sizes[id] = size
		return err
	}); err != nil {
		return nil, err
	}
	bytes := 0
	for i, id := range ids {
		if bytes > inbox.MaxClaimBytes {
			return ids[:i], nil
		}
		bytes += sizes[id]
	}
	return ids, nil
}

// due returns the ids of up to limit pending deliveries that are due and not leased, in the order in which they are to be claimed.
func (s *Store) due(ctx context.Context, now time.Time, limit int, leases map[int64]lease) ([]any, error) {
	ids := make([]any, 0, limit)
	for _, tried := range []bool{false, true} {
		if err := s.eachPending(ctx, tried, limit+len(leases), func(id int64, due time.Time) bool {
			if len(ids) == limit || due.After(now) {
				return false
			}
			if !leases[id].holdsAt(now) {
				ids = append(ids, id)
			}
			return true
		}); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// eachPending calls f with pending deliveries, in the order of their due times, until f returns false or limit is reached.
func (s *Store) eachPending(ctx context.Context, tried bool, limit int, f func(id int64, due time.Time) bool) error {
	rows, err := s.db.Reader.QueryContext(ctx, "SELECT id, next_attempt_time FROM deliveries"+
		" WHERE state = 1 AND (attempts + deferrals > 0) = ? ORDER BY next_attempt_time, id LIMIT ?", tried, limit)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id, due int64
		if err := rows.Scan(&id, &due); err != nil {
			return err
		}
		if !f(id, fromUnixNano(due)) {
			return nil
		}
	}
	return rows.Err()
}

// leasesNow returns a copy of the current leases.
func (s *Store) leasesNow() map[int64]lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.leases)
}

// Finish implements [inbox.Store].
func (s *Store) Finish(ctx context.Context, now time.Time, outcomes []inbox.Outcome) (lost int, err error) {
	good := s.beginFinishing(outcomes)
	defer func() { s.endFinishing(good, err == nil) }()
	if err := s.db.Write(ctx, func(tx *sql.Tx) error {
		forwarded := make([]any, 0, len(good))
		for _, outcome := range good {
			if outcome.State == inbox.Forwarded {
				forwarded = append(forwarded, outcome.Lease.DeliveryID)
			} else if err := finishOne(tx, outcome); err != nil {
				return err
			}
		}
		for _, position := range inbox.ForwardedPositions(good) {
			if err := s.addPosition(tx, position, nil); err != nil {
				return err
			}
		}
		_, err := s.forward.Exec(context.Background(), tx, []any{unixNano(now)}, forwarded, 1)
		return err
	}); err != nil {
		return 0, mapError(ctx, err)
	}
	return len(outcomes) - len(good), nil
}

func finishOne(tx *sql.Tx, outcome inbox.Outcome) error {
	var nextAttempt any
	if outcome.State == inbox.Pending {
		nextAttempt = unixNano(outcome.NextAttemptTime)
	}
	_, err := tx.Exec("UPDATE deliveries SET state = ?, reason = ?, attempts = ?, deferrals = ?, next_attempt_time = ?"+
		" WHERE state = 1 AND id = ?", int64(outcome.State), outcome.Reason, outcome.Attempts, outcome.Deferrals, nextAttempt,
		outcome.Lease.DeliveryID)
	return err
}

// beginFinishing returns the outcomes with a valid lease, and keeps these leases from ending.
func (s *Store) beginFinishing(outcomes []inbox.Outcome) []inbox.Outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	good := make([]inbox.Outcome, 0, len(outcomes))
	for _, outcome := range outcomes {
		id := outcome.Lease.DeliveryID
		if l, ok := s.leases[id]; ok && l.token == outcome.Lease.Token && !l.finishing {
			l.finishing = true
			s.leases[id] = l
			good = append(good, outcome)
		}
	}
	return good
}

// endFinishing ends the leases of outcomes that were written. If they were not written, the leases hold until their time has run out.
func (s *Store) endFinishing(outcomes []inbox.Outcome, written bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, outcome := range outcomes {
		id := outcome.Lease.DeliveryID
		if written {
			delete(s.leases, id)
		} else {
			l := s.leases[id]
			l.finishing = false
			s.leases[id] = l
		}
	}
}

// NextDue implements [inbox.Store].
func (s *Store) NextDue(ctx context.Context) (time.Time, bool, error) {
	leases := s.leasesNow()
	var earliest time.Time
	for _, tried := range []bool{false, true} {
		if err := s.eachPending(ctx, tried, len(leases)+1, func(id int64, due time.Time) bool {
			l, leased := leases[id]
			if leased {
				due = l.until
			}
			if earliest.IsZero() || due.Before(earliest) {
				earliest = due
			}
			return leased
		}); err != nil {
			return time.Time{}, false, mapError(ctx, err)
		}
	}
	return earliest, !earliest.IsZero(), nil
}
