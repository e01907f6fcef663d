package postgresdb

import (
	"context"
	"sync"
	"time"
)

// notifyPause is the minimum time between two notifications of one process. Under load the other processes poll more often than that.
const notifyPause = 100 * time.Millisecond

// Channel is how the processes that share a database notify each other that there may be something new. It is safe for concurrent use.
type Channel struct {
	db   *DB
	name string
	// pending holds an element if the other processes must be notified.
	pending chan struct{}
}

// NewChannel returns the channel of that name.
func (db *DB) NewChannel(name string) *Channel {
	return &Channel{db: db, name: name, pending: make(chan struct{}, 1)}
}

// Notify makes [Channel.Run] notify the other processes that there may be something new. It does not wait for that.
func (c *Channel) Notify() {
	select {
	case c.pending <- struct{}{}:
	default:
	}
}

// Run blocks until ctx ends. It calls wake whenever another process may have called [Channel.Notify], and it sends the notifications
// of this process to the others, at most ten times a second. wake and onError are like those of [DB.Listen]. Only one Run may run at
// a time.
func (c *Channel) Run(ctx context.Context, wake func(), onError func(error)) {
	var both sync.WaitGroup
	both.Go(func() { c.db.Listen(ctx, c.name, wake, onError) })
	both.Go(func() { c.notifyOthers(ctx) })
	both.Wait()
}

func (c *Channel) notifyOthers(ctx context.Context) {
	for {
		select {
		case <-c.pending:
		case <-ctx.Done():
			return
		}
		// A notification that can't be sent is lost. The others then find out when they poll.
		_ = c.db.Notify(ctx, c.name)
		pause(ctx, notifyPause)
	}
}
