package postgres

import (
	"context"
	"sync"
	"time"
)

const (
	// channel is where gateways tell each other of new deliveries.
	channel = "ticketbridge_deliveries"
	// notifyPause is the least time between two notifications of one gateway: under load others look for themselves.
	notifyPause = 100 * time.Millisecond
)

// Watch implements [inbox.Store].
func (s *Store) Watch(ctx context.Context, wake func(), onError func(error)) {
	var both sync.WaitGroup
	both.Go(func() { s.db.Listen(ctx, channel, wake, onError) })
	both.Go(func() { s.notifyOthers(ctx) })
	both.Wait()
}

// notifyOthers tells the other gateways of deliveries that were added here, until ctx ends.
func (s *Store) notifyOthers(ctx context.Context) {
	for {
		select {
		case <-s.added:
		case <-ctx.Done():
			return
		}
		// One that can't be sent is missed, and then the others find out when they look.
		_ = s.db.Notify(ctx, channel)
		timer := time.NewTimer(notifyPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// noteAdded has the other gateways told that deliveries were added.
func (s *Store) noteAdded() {
	select {
	case s.added <- struct{}{}:
	default:
	}
}
