package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
)

// maxClaimBytes is about how much memory the bodies of one claim take at the most.
const maxClaimBytes = 16 << 20

// errEnough ends the reading of bodies.
var errEnough = errors.New("enough bodies")

// Claim implements [inbox.Store].
func (s *Store) Claim(ctx context.Context, now time.Time, period time.Duration, limit int) ([]inbox.Delivery, error) {
	s.claiming.Lock()
	defer s.claiming.Unlock()
	// The leases are read before the rows. A delivery whose lease is gone by then was settled before, so the rows show it as settled;
	// the other way round, one that was settled in between would be claimed again.
	leased := s.leasedAt(now)
	ids, err := s.due(ctx, now, limit, leased)
	if err != nil {
		return nil, translate(err)
	}
	deliveries := make([]inbox.Delivery, 0, len(ids))
	bytes := 0
	if err := s.fetch.Query(ctx, nil, ids, 1, func(rows *sql.Rows) error {
		if bytes > maxClaimBytes {
			return errEnough
		}
		var d inbox.Delivery
		var receiveTime int64
		if err := rows.Scan(&d.ID, &d.EventID, &d.TicketID, &d.Attempts, &d.Deferrals, &receiveTime, &d.Reason, &d.TraceParent, &d.Body); err != nil {
			return err
		}
		d.ReceiveTime = fromUnixNano(receiveTime)
		deliveries = append(deliveries, d)
		bytes += len(d.Body)
		return nil
	}); err != nil && !errors.Is(err, errEnough) {
		return nil, translate(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range deliveries {
		s.lastToken++
		deliveries[i].Lease = inbox.Lease{DeliveryID: deliveries[i].ID, Token: s.lastToken}
		s.leases[deliveries[i].ID] = lease{token: s.lastToken, until: now.Add(period)}
	}
	return deliveries, nil
}

// due returns the ids of up to limit pending deliveries that are due and not leased, in the order in which they are to be claimed.
func (s *Store) due(ctx context.Context, now time.Time, limit int, leased map[int64]struct{}) ([]any, error) {
	ids := make([]any, 0, limit)
	for _, tried := range []bool{false, true} {
		if err := s.eachPending(ctx, tried, limit+len(leased), func(id int64, due time.Time) bool {
			if len(ids) == limit || due.After(now) {
				return false
			}
			if _, taken := leased[id]; !taken {
				ids = append(ids, id)
			}
			return true
		}); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// eachPending calls f with pending deliveries, those due first first, until it returns false or limit is reached.
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

// leasedAt returns the deliveries whose leases hold at now.
func (s *Store) leasedAt(now time.Time) map[int64]struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	leased := make(map[int64]struct{}, len(s.leases))
	for id, l := range s.leases {
		if l.holdsAt(now) {
			leased[id] = struct{}{}
		}
	}
	return leased
}

// Settle implements [inbox.Store].
func (s *Store) Settle(ctx context.Context, now time.Time, settlements []inbox.Settlement) (lost int, err error) {
	good := s.beginSettling(settlements)
	// Whether or not the write succeeds the leases are done with: what could not be settled is claimed again, and forwarding it again
	// does no harm.
	defer s.release(good)
	if err := s.db.Write(ctx, func(tx *sql.Tx) error {
		forwarded := make([]any, 0, len(good))
		for _, settlement := range good {
			if settlement.State == inbox.Forwarded {
				forwarded = append(forwarded, settlement.Lease.DeliveryID)
			} else if err := settleOne(tx, settlement); err != nil {
				return err
			}
		}
		_, err := s.forward.Exec(context.Background(), tx, []any{unixNano(now)}, forwarded, 1)
		return err
	}); err != nil {
		return 0, translate(err)
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

// beginSettling returns the settlements whose lease nobody took over, and sees to it that nobody will.
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

// release ends the leases of settlements.
func (s *Store) release(settlements []inbox.Settlement) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, settlement := range settlements {
		if s.leases[settlement.Lease.DeliveryID].token == settlement.Lease.Token {
			delete(s.leases, settlement.Lease.DeliveryID)
		}
	}
}

// NextDue implements [inbox.Store].
func (s *Store) NextDue(ctx context.Context) (time.Time, bool, error) {
	s.mu.Lock()
	leases := make(map[int64]time.Time, len(s.leases))
	for id, l := range s.leases {
		leases[id] = l.until
	}
	s.mu.Unlock()
	var earliest time.Time
	for _, tried := range []bool{false, true} {
		if err := s.eachPending(ctx, tried, len(leases)+1, func(id int64, due time.Time) bool {
			until, leased := leases[id]
			if leased {
				due = until
			}
			if earliest.IsZero() || due.Before(earliest) {
				earliest = due
			}
			return leased
		}); err != nil {
			return time.Time{}, false, translate(err)
		}
	}
	return earliest, !earliest.IsZero(), nil
}
