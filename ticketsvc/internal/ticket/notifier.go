package ticket

import (
	"context"
	"sync"
)

// Bell tells those who follow the log that it has grown. The zero value is ready; it is safe for concurrent use.
type Bell struct {
	mu        sync.Mutex
	listeners map[*func()]struct{}
}

// Ring calls all listeners.
func (b *Bell) Ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for wake := range b.listeners {
		(*wake)()
	}
}

// Listen has wake called whenever the bell rings, until ctx ends. wake must return at once.
func (b *Bell) Listen(ctx context.Context, wake func()) {
	b.mu.Lock()
	if b.listeners == nil {
		b.listeners = map[*func()]struct{}{}
	}
	b.listeners[&wake] = struct{}{}
	b.mu.Unlock()
	<-ctx.Done()
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.listeners, &wake)
}
