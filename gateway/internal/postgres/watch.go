package postgres

import "context"

// channel is where gateways tell each other of new deliveries.
const channel = "ticketbridge_deliveries"

// Watch implements [inbox.Store].
func (s *Store) Watch(ctx context.Context, wake func(), onError func(error)) {
	s.added.Watch(ctx, wake, onError)
}
