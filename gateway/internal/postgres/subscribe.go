package postgres

import "context"

// channel is the name of the channel on which gateways notify each other of new deliveries.
const channel = "ticketbridge_deliveries"

// Watch implements [inbox.Store].
func (s *Store) Watch(ctx context.Context, wake func(), onError func(error)) {
	s.added.Watch(ctx, wake, onError)
}
