package httpserver_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ticketbridge/ticketbridge/internal/httpserver"
)

func TestReadiness(t *testing.T) {
	t.Parallel()
	serving, stop := context.WithCancel(t.Context())
	var away error
	ready := httpserver.Readiness(serving, func(context.Context) error { return away })
	if err := ready(t.Context()); err != nil {
		t.Errorf("a service whose database answers: %v", err)
	}
	away = httpserver.ErrReadOnly
	if err := ready(t.Context()); !errors.Is(err, httpserver.ErrReadOnly) {
		t.Errorf("a service whose database is read-only: %v", err)
	}
	away = errors.New("no route to it")
	if err := ready(t.Context()); !errors.Is(err, away) || !strings.Contains(err.Error(), "the database can't be used") {
		t.Errorf("a service whose database is away: %v", err)
	}
	away = nil
	stop()
	if err := ready(t.Context()); err == nil || err.Error() != "the service is stopping" {
		t.Errorf("a service that stops: %v", err)
	}
}

func TestWatchReadiness(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		var log lockedLog
		var away atomic.Pointer[error]
		ready := httpserver.Readiness(ctx, func(context.Context) error { return *away.Load() })
		away.Store(new(error))
		var watching sync.WaitGroup
		watching.Go(func() { httpserver.WatchReadiness(ctx, ready, slog.New(slog.NewTextHandler(&log, nil))) })
		for _, step := range []struct {
			away  error
			after time.Duration
			want  []string
		}{
			{nil, 5 * time.Second, nil},
			{errors.New("disk is full"), 5 * time.Second, []string{`level=ERROR msg="service is not ready"`, "disk is full"}},
			{nil, 5 * time.Second, []string{`level=INFO msg="service is ready again"`}},
			{errors.New("disk is full"), 5 * time.Second, nil},
			{nil, 5 * time.Second, nil},
			{errors.New("disk is full"), time.Minute, []string{`level=ERROR msg="service is not ready"`}},
			{nil, time.Minute, []string{`level=INFO msg="service is ready again"`}},
			{httpserver.ErrReadOnly, 5 * time.Second, []string{`level=WARN msg="service is ready for reads only"`}},
			{errors.New("no route"), 5 * time.Second, []string{`level=ERROR msg="service is not ready"`, "no route"}},
			{httpserver.ErrReadOnly, 5 * time.Second, nil},
			{errors.New("no route"), time.Minute, nil},
			{httpserver.ErrReadOnly, 5 * time.Second, []string{`level=WARN msg="service is ready for reads only"`}},
			{errors.New("no route"), time.Minute, []string{`level=ERROR msg="service is not ready"`}},
		} {
			away.Store(&step.away)
			time.Sleep(step.after)
			synctest.Wait()
			lines := log.take()
			if strings.Count(lines, "\n") != min(1, len(step.want)) {
				t.Errorf("with %v it logged %q, want %d lines", step.away, lines, min(1, len(step.want)))
			}
			for _, want := range step.want {
				if !strings.Contains(lines, want) {
					t.Errorf("with %v it logged %q, want %q", step.away, lines, want)
				}
			}
		}
		away.Store(new(error))
		stop()
		watching.Wait()
		if lines := log.take(); lines != "" {
			t.Errorf("at the end it logged %q, want nothing", lines)
		}
	})
}

// lockedLog is a log that several goroutines write and read.
type lockedLog struct {
	mu    sync.Mutex
	lines strings.Builder
}

// Write adds a line.
func (l *lockedLog) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.Write(line)
}

// take returns the lines since the last call.
func (l *lockedLog) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.lines.Reset()
	return l.lines.String()
}
