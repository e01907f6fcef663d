package bench_test

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
	"github.com/ticketbridge/ticketbridge/internal/tools/bench"
)

const secret = "s3cret"

func mustServe(t *testing.T, handler http.Handler) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func mustStamp(t *testing.T, stock *bench.Stock) {
	t.Helper()
	if err := stock.Stamp(time.Now()); err != nil {
		t.Fatal(err)
	}
}

// long is more than any load here takes: they end when their stock runs out.
const long = time.Minute

func TestLoadSendsEachRequestOnceAndSigned(t *testing.T) {
	t.Parallel()
	stock := bench.NewStock(500, 1, secret)
	mustStamp(t, stock)
	var mu sync.Mutex
	seen := map[string]bool{}
	bare := bench.Bare(secret)
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
	result, err := bench.Load{Addresses: []string{address}, Connections: 8, Stock: stock, Duration: long}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) != 500 || result.Answered != 500 || result.Counted != 500 || result.Elapsed <= 0 || result.Rate() <= 0 {
		t.Errorf("%d different requests came, result %+v: want 500", len(seen), result)
	}
	if bytes := stock.Bytes(); bytes < 1600 || bytes > 2100 {
		t.Errorf("a request has %d bytes on average", bytes)
	}
}

func TestLoadDividesItsConnectionsAmongTheServers(t *testing.T) {
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
			// The stock can't run out before each connection has sent a request.
			all.Wait()
			_, _ = io.WriteString(w, "ok")
		}))
	}
	stock := bench.NewStock(100, 1, secret)
	mustStamp(t, stock)
	result, err := bench.Load{Addresses: addresses, Connections: connections, Stock: stock, Duration: long}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range opened {
		if got := opened[i].Load(); got != connections/3 {
			t.Errorf("server %d has %d connections, want %d", i, got, connections/3)
		}
	}
	if result.Answered != 100 {
		t.Errorf("%d requests were answered, want 100", result.Answered)
	}
}

func TestLoadFailsOnAnythingButASuccess(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"wrong secret": {bench.Bare("other").ServeHTTP, "401"},
		"overload": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "inbox full", http.StatusServiceUnavailable)
		}, "inbox full"},
		"accepted":      {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }, "202"},
		"closed":        {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
		"no length":     {func(w http.ResponseWriter, _ *http.Request) { _ = http.NewResponseController(w).Flush() }, "Content-Length"},
		"after a while": {failAfter(20), "got a 200"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stock := bench.NewStock(100, 1, secret)
			mustStamp(t, stock)
			load := bench.Load{Addresses: []string{mustServe(t, test.handler)}, Connections: 8, Stock: stock, Duration: long}
			_, err := load.Run(t.Context())
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// failAfter answers n requests, and refuses those after.
func failAfter(n int) http.HandlerFunc {
	var mu sync.Mutex
	bare := bench.Bare(secret)
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

func TestLoadThatRunsOutWhileWarmingUp(t *testing.T) {
	t.Parallel()
	stock := bench.NewStock(10, 1, secret)
	mustStamp(t, stock)
	load := bench.Load{Addresses: []string{mustServe(t, bench.Bare(secret))}, Connections: 2, Stock: stock, Warmup: long, Duration: long}
	if _, err := load.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "warm-up") {
		t.Errorf("got %v, want advice", err)
	}
}

func TestLoadEndsWithItsContext(t *testing.T) {
	t.Parallel()
	stock := bench.NewStock(10, 1, secret)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	address := mustServe(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		cancel(why)
		<-r.Context().Done()
	}))
	if _, err := (bench.Load{Addresses: []string{address}, Connections: 2, Stock: stock, Duration: long}).Run(ctx); !errors.Is(err, why) {
		t.Errorf("got %v, want the context's cause", err)
	}
}

func TestLoadWithoutServer(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	addresses := []string{server.Listener.Addr().String()}
	load := bench.Load{Addresses: addresses, Connections: 1, Stock: bench.NewStock(1, 1, secret), Duration: long}
	if _, err := load.Run(t.Context()); err == nil {
		t.Error("no error")
	}
}

func TestBareRefusesWhatIsTooLarge(t *testing.T) {
	t.Parallel()
	recorder := httptest.NewRecorder()
	bench.Bare(secret).ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, "/webhook", strings.NewReader(strings.Repeat("x", 1<<20+1))))
	if recorder.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d", recorder.Code)
	}
}
