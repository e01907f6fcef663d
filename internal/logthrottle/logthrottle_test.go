package logthrottle_test

import (
	"sync"
	"testing"
	"time"

	"github.com/ticketbridge/ticketbridge/internal/logthrottle"
)

func TestThrottle_Allow(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 3, 2, 7, 15, 30, 0, time.UTC)
	throttle := logthrottle.New(time.Minute)
	for _, step := range []struct {
		name  string
		after time.Duration
		count int
		ok    bool
	}{
		{"the first occurrence", 0, 1, true},
		{"within the interval", time.Second, 0, false},
		{"at its last instant", time.Minute - 1, 0, false},
		{"at its end", time.Minute, 3, true},
		{"within the next interval", time.Minute + time.Second, 0, false},
		{"long after", time.Hour, 2, true},
		{"alone, long after", 2 * time.Hour, 1, true},
	} {
		if count, ok := throttle.Allow(start.Add(step.after)); count != step.count || ok != step.ok {
			t.Errorf("%s: got %d, %t, want %d, %t", step.name, count, ok, step.count, step.ok)
		}
	}
}

func TestPerKey_Allow(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 3, 2, 7, 15, 30, 0, time.UTC)
	throttle := logthrottle.NewPerKey[string](time.Minute)
	for _, step := range []struct {
		key   string
		after time.Duration
		count int
		ok    bool
	}{
		{"a", 0, 1, true},
		{"b", time.Second, 1, true},
		{"a", 2 * time.Second, 0, false},
		{"a", time.Minute, 2, true},
		{"b", time.Minute, 0, false},
	} {
		if count, ok := throttle.Allow(step.key, start.Add(step.after)); count != step.count || ok != step.ok {
			t.Errorf("%s after %v: got %d, %t, want %d, %t", step.key, step.after, count, ok, step.count, step.ok)
		}
	}
}

func TestThrottle_Allow_concurrently(t *testing.T) {
	t.Parallel()
	const callers, calls = 8, 1000
	start := time.Date(2026, 3, 2, 7, 15, 30, 0, time.UTC)
	throttle := logthrottle.New(time.Hour)
	var wg sync.WaitGroup
	allowed := make(chan int, callers*calls)
	for range callers {
		wg.Go(func() {
			for range calls {
				if count, ok := throttle.Allow(start); ok {
					allowed <- count
				}
			}
		})
	}
	wg.Wait()
	if got := len(allowed); got != 1 {
		t.Fatalf("%d occurrences were let through, want 1", got)
	}
	first := <-allowed
	if last, _ := throttle.Allow(start.Add(time.Hour)); first+last != callers*calls+1 {
		t.Errorf("%d occurrences were counted, want %d", first+last, callers*calls+1)
	}
}
