package postgresdb

import (
	"context"
	"sync"
	"time"
)

// notifyPause is the minimum time between two notifications of one process: under load other processes look for themselves.
const notifyPause = 100 * time.Millisecond

// Channel is how the processes that share a database notify each other that there may be something new. It is safe for concurrent use.
type Channel struct {
	db   *DB
	name string
	// news receives when there is something to notify the others of.
	news chan struct{}
}

// NewChannel returns the channel of that name.
func (db *DB) NewChannel(name string) *Channel {
	return &Channel{db: db, name: name, news: make(chan struct{}, 1)}
}

// Note notifies the other processes, by [Channel.Watch], that there may be something new. It does not wait for that.
func (c *Channel) Note() {
	select {
	case c.news <- struct{}{}:
	default:
	}
}

// Watch sends the notifications of [Channel.Note] to the other processes, at most ten times a second. It calls wake whenever one of them
// may have noted something. It ends when ctx ends. wake and onError are like those of [DB.Listen]. Only one Watch may run at a time.
func (c *Channel) Watch(ctx context.Context, wake func(), onError func(error)) {
	var both sync.WaitGroup
	both.Go(func() { c.db.Listen(ctx, c.name, wake, onError) })
	both.Go(func() { c.notifyOthers(ctx) })
	both.Wait()
}

func (c *Channel) notifyOthers(ctx context.Context) {
	for {
		select {
		case <-c.news:
		case <-ctx.Done():
			return
		}
		// A notification that can't be sent is lost. The others then find out when they look for themselves.
		_ = c.db.Notify(ctx, c.name)
		timer := time.NewTimer(notifyPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}
