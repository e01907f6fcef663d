package ticket

import (
	"context"
	"sync"
)

// Notifier notifies those who follow the log that it has grown. The zero value is ready. It is safe for concurrent use.
type Notifier struct {
	mu          sync.Mutex
	subscribers map[*func()]struct{}
}

// Notify calls all subscribers.
func (n *Notifier) Notify() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for wake := range n.subscribers {
		(*wake)()
	}
}

// Subscribe blocks until ctx ends. Until then each Notify calls wake, which must return at once.
func (n *Notifier) Subscribe(ctx context.Context, wake func()) {
	n.mu.Lock()
	if n.subscribers == nil {
		n.subscribers = map[*func()]struct{}{}
	}
	n.subscribers[&wake] = struct{}{}
	n.mu.Unlock()
	<-ctx.Done()
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.subscribers, &wake)
}
