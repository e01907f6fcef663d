package postgres

import "context"

// channel is the name of the channel on which gateways notify each other of new deliveries.
const channel = "ticketbridge_deliveries"

// Subscribe implements [inbox.Store].
func (s *Store) Subscribe(ctx context.Context, wake func(), onError func(error)) {
	s.added.Run(ctx, wake, onError)
}
