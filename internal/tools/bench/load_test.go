package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ticketbridge/ticketbridge/internal/simulator"
)

const secret = "s3cret"

func mustServe(t *testing.T, handler http.Handler) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// long is more than any load here takes: they end after all requests are sent.
const long = time.Minute

func TestLoad_sendsEachRequestOnceAndSigned(t *testing.T) {
	t.Parallel()
	requests := newRequests(500, secret)
	requests.setTimestamps(time.Now())
	var mu sync.Mutex
	seen := map[string]bool{}
	bare := bareHandler(secret)
	address := mustServe(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		milliseconds, err := strconv.ParseInt(r.Header.Get(simulator.TimestampHeader), 10, 64)
		if err != nil || time.Since(time.UnixMilli(milliseconds)).Abs() > time.Minute {
			t.Errorf("timestamp %q is not now", r.Header.Get(simulator.TimestampHeader))
		}
		mu.Lock()
		seen[r.Header.Get(simulator.SignatureHeader)] = true
		mu.Unlock()
		bare.ServeHTTP(w, r)
	}))
	result, err := load{addresses: []string{address}, connections: 8, requests: requests, duration: long}.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) != 500 || result.answered != 500 || result.counted != 500 || result.elapsed <= 0 || result.rate() <= 0 {
		t.Errorf("%d different requests came, result %+v: want 500", len(seen), result)
	}
	sum := 0
	for _, request := range requests.rendered {
		sum += len(request)
	}
	if average := sum / len(requests.rendered); average < 1600 || average > 2100 {
		t.Errorf("a request has %d bytes on average", average)
	}
}

func TestLoad_dividesItsConnectionsAmongTheServers(t *testing.T) {
	t.Parallel()
	const connections = 12
	var all sync.WaitGroup
	all.Add(connections)
	var opened [3]atomic.Int64
	addresses := make([]string, len(opened))
	for i := range opened {
		var once sync.Map
		addresses[i] = mustServe(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, known := once.LoadOrStore(r.RemoteAddr, true); !known {
				opened[i].Add(1)
				all.Done()
			}
			// The requests are not all sent before each connection has sent a request.
			all.Wait()
			_, _ = io.WriteString(w, "ok")
		}))
	}
	requests := newRequests(100, secret)
	result, err := load{addresses: addresses, connections: connections, requests: requests, duration: long}.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range opened {
		if got := opened[i].Load(); got != connections/3 {
			t.Errorf("server %d has %d connections, want %d", i, got, connections/3)
		}
	}
	if result.answered != 100 {
		t.Errorf("%d requests were answered, want 100", result.answered)
	}
}

func TestLoad_failsOnAnythingButASuccess(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"wrong secret": {bareHandler("other").ServeHTTP, "401"},
		"overload": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "inbox full", http.StatusServiceUnavailable)
		}, "inbox full"},
		"accepted":      {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }, "202"},
		"closed":        {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
		"no length":     {func(w http.ResponseWriter, _ *http.Request) { _ = http.NewResponseController(w).Flush() }, "Content-Length"},
		"after a while": {failAfter(20), "requests with a 200"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requests := newRequests(100, secret)
			load := load{addresses: []string{mustServe(t, test.handler)}, connections: 8, requests: requests, duration: long}
			_, err := load.run(t.Context())
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// failAfter answers n requests, and refuses those after.
func failAfter(n int) http.HandlerFunc {
	var mu sync.Mutex
	bare := bareHandler(secret)
	return func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		n--
		refuse := n < 0
		mu.Unlock()
		if refuse {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		bare.ServeHTTP(w, r)
	}
}

func TestLoad_runsOutWhileWarmingUp(t *testing.T) {
	t.Parallel()
	requests := newRequests(10, secret)
	load := load{addresses: []string{mustServe(t, bareHandler(secret))}, connections: 2, requests: requests, warmup: long, duration: long}
	if _, err := load.run(t.Context()); err == nil || !strings.Contains(err.Error(), "warm-up") {
		t.Errorf("got %v, want advice", err)
	}
}

func TestLoad_endsWithItsContext(t *testing.T) {
	t.Parallel()
	requests := newRequests(10, secret)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	address := mustServe(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		cancel(why)
		<-r.Context().Done()
	}))
	if _, err := (load{addresses: []string{address}, connections: 2, requests: requests, duration: long}).run(ctx); !errors.Is(err, why) {
		t.Errorf("got %v, want the context's cause", err)
	}
}

func TestLoad_withoutServer(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	addresses := []string{server.Listener.Addr().String()}
	load := load{addresses: addresses, connections: 1, requests: newRequests(1, secret), duration: long}
	if _, err := load.run(t.Context()); err == nil {
		t.Error("no error")
	}
}

func TestBare_refusesLargeBodies(t *testing.T) {
	t.Parallel()
	recorder := httptest.NewRecorder()
	bareHandler(secret).ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, "/webhook", strings.NewReader(strings.Repeat("x", 1<<20+1))))
	if recorder.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d", recorder.Code)
	}
}
