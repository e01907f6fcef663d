package httpserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ticketbridge/ticketbridge/internal/logthrottle"
)

// ErrReadOnly means that a service can answer reads only. Load balancers should keep it in use: all replicas share the database, so none of
// them can do more.
var ErrReadOnly = errors.New("the database is read-only: reads are served, writes are not")

var (
	errStopping   = errors.New("the service is stopping")
	errNoDatabase = errors.New("the database can't be used")
)

// readyTimeout bounds one check whether the service is ready.
const readyTimeout = 2 * time.Second

// Readiness returns a function for [NewAdmin]. The function returns an error if the service should get no requests: serving has ended
// because the service is stopping, or ping, which asks the database, fails. An [ErrReadOnly] of ping is returned unchanged.
// [WatchReadiness] logs the result.
func Readiness(serving context.Context, ping func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if serving.Err() != nil {
			return errStopping
		}
		if err := ping(ctx); errors.Is(err, ErrReadOnly) {
			return err
		} else if err != nil {
			return fmt.Errorf("%w (%w)", errNoDatabase, err)
		}
		return nil
	}
}

// WatchReadiness calls ready once a second until ctx ends, and logs each change between ready, ready for reads only, and not ready. If the
// state changes often, each of the latter two is logged at most once a minute.
func WatchReadiness(ctx context.Context, ready func(context.Context) error, log *slog.Logger) {
	const isReady = "service is ready again"
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	throttle := logthrottle.NewPerKey[string](time.Minute)
	logged := isReady
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			asking, cancel := context.WithTimeout(ctx, readyTimeout)
			err := ready(asking)
			cancel()
			state, level, attributes := "service is not ready", slog.LevelError, []any{"error", err}
			switch {
			case ctx.Err() != nil:
				return
			case err == nil:
				state, level, attributes = isReady, slog.LevelInfo, nil
			case errors.Is(err, ErrReadOnly):
				state, level = "service is ready for reads only", slog.LevelWarn
			}
			if state == logged {
				continue
			}
			if _, ok := throttle.Allow(state, now); !ok && state != isReady {
				continue
			}
			logged = state
			log.Log(ctx, level, state, attributes...)
		}
	}
}
