package postgresdb

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// hangTimeout is the duration of a write after which the server is checked for a hang.
	hangTimeout = 3 * time.Second
	// answerTimeout is the time within which a server that does not hang accepts another connection.
	answerTimeout = time.Second
)

// errHung is the error of a write whose server hangs.
var errHung = fmt.Errorf("%w: it does not answer any more", ErrUnavailable)

// hangWatch cancels a write if its server turns out to hang. A write can take long for other reasons too: it waits for a lock, or for the
// standby. So the server is asked for another connection, which only a hanging server does not accept. The other connections of the pool go
// to the same server, and each of them would have to find this out by itself.
type hangWatch struct {
	// server is the network address of the write's server. It is nil as long as the write waits for a connection.
	server atomic.Pointer[string]
	timer  *time.Timer
	cancel context.CancelCauseFunc
	asking sync.WaitGroup
}

// watchForHang returns a context for a write. The context ends with [errHung] if the server hangs. [hangWatch.stop] ends the watch.
func (db *DB) watchForHang(ctx context.Context) (context.Context, *hangWatch) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &hangWatch{cancel: cancel}
	w.asking.Add(1)
	w.timer = time.AfterFunc(db.hangTimeout, func() {
		defer w.asking.Done()
		server := db.servers.lastAnswered()
		if known := w.server.Load(); known != nil {
			server = *known
		}
		if db.hangs(ctx, server) {
			db.servers.recordHang(server)
			cancel(errHung)
		}
	})
	return ctx, w
}

func (w *hangWatch) stop() {
	w.cancel(nil)
	if w.timer.Stop() {
		w.asking.Done()
	}
	w.asking.Wait()
}

// hangs reports whether the server at a network address does not accept another connection. The address is empty if no server is known.
func (db *DB) hangs(ctx context.Context, server string) bool {
	config, err := db.connConfig(ctx)
	if err != nil || !db.servers.keepOnly(config, server) {
		return false
	}
	config.ValidateConnect, config.ConnectTimeout = nil, answerTimeout
	conn, err := pgx.ConnectConfig(ctx, config)
	if err == nil {
		_ = conn.Close(ctx)
	}
	return ctx.Err() == nil && (errors.Is(err, context.DeadlineExceeded) || pgconn.Timeout(err))
}
