package postgresdb

import (
	"context"
	"sync"
	"time"
)

// notifyPause is the least time between two notifications of one process: under load others look for themselves.
const notifyPause = 100 * time.Millisecond

// Channel is where the processes that share a database tell each other that there may be something new. It is safe for concurrent use.
type Channel struct {
	db   *DB
	name string
	// news receives when there is something to tell.
	news chan struct{}
}

// NewChannel returns the channel of that name.
func (db *DB) NewChannel(name string) *Channel {
	return &Channel{db: db, name: name, news: make(chan struct{}, 1)}
}

// Note has the other processes told, by [Channel.Watch], that there may be something new. It does not wait for that.
func (c *Channel) Note() {
	select {
	case c.news <- struct{}{}:
	default:
	}
}

// Watch tells the other processes of what is noted here, ten times a second at most, and calls wake whenever one of them may have noted
// something, until ctx ends. wake and onError are as those of [DB.Listen]. It is to run once at a time.
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
		// One that can't be sent is missed, and then the others find out when they look.
		_ = c.db.Notify(ctx, c.name)
		timer := time.NewTimer(notifyPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}
