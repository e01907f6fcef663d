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
	// The leases are read before the rows. If the lease of a delivery is gone by then, the delivery was settled before, so the rows show it as
	// settled.
	before := s.leasesNow()
	ids, err := s.due(ctx, now, limit, before)
	if err != nil {
		return nil, translate(ctx, err)
	}
	if ids, err = s.notTooLarge(ctx, ids); err != nil {
		return nil, translate(ctx, err)
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
		return nil, translate(ctx, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// A delivery whose lease had ended may have been settled since, or may be being settled. Then its row is out of date.
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

// Settle implements [inbox.Store].
func (s *Store) Settle(ctx context.Context, now time.Time, settlements []inbox.Settlement) (lost int, err error) {
	good := s.beginSettling(settlements)
	defer func() { s.endSettling(good, err == nil) }()
	if err := s.db.Write(ctx, func(tx *sql.Tx) error {
		forwarded := make([]any, 0, len(good))
		for _, settlement := range good {
			if settlement.State == inbox.Forwarded {
				forwarded = append(forwarded, settlement.Lease.DeliveryID)
			} else if err := settleOne(tx, settlement); err != nil {
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
		return 0, translate(ctx, err)
	}
	return len(settlements) - len(good), nil
}

func settleOne(tx *sql.Tx, settlement inbox.Settlement) error {
	var nextAttempt any
	if settlement.State == inbox.Pending {
		nextAttempt = unixNano(settlement.NextAttemptTime)
	}
	_, err := tx.Exec("UPDATE deliveries SET state = ?, reason = ?, attempts = ?, deferrals = ?, next_attempt_time = ?"+
		" WHERE state = 1 AND id = ?", int64(settlement.State), settlement.Reason, settlement.Attempts, settlement.Deferrals, nextAttempt,
		settlement.Lease.DeliveryID)
	return err
}

// beginSettling returns the settlements with a valid lease, and keeps these leases from ending.
func (s *Store) beginSettling(settlements []inbox.Settlement) []inbox.Settlement {
	s.mu.Lock()
	defer s.mu.Unlock()
	good := make([]inbox.Settlement, 0, len(settlements))
	for _, settlement := range settlements {
		id := settlement.Lease.DeliveryID
		if l, ok := s.leases[id]; ok && l.token == settlement.Lease.Token && !l.settling {
			l.settling = true
			s.leases[id] = l
			good = append(good, settlement)
		}
	}
	return good
}

// endSettling ends the leases of settlements that were written. If they were not written, the leases hold until their time has run out.
func (s *Store) endSettling(settlements []inbox.Settlement, written bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, settlement := range settlements {
		id := settlement.Lease.DeliveryID
		if written {
			delete(s.leases, id)
		} else {
			l := s.leases[id]
			l.settling = false
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
			return time.Time{}, false, translate(ctx, err)
		}
	}
	return earliest, !earliest.IsZero(), nil
}
