package forwarder_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
)

func TestForwarder_outageUsesUpNoAttempt(t *testing.T) {
	t.Parallel()
	const deliveries = 500
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	b, s := newBox(t), newTicketsvc(nil)
	var log logText
	stop := start(t, b, "http://"+address, &log)
	b.addMany(t, deliveries)
	// By then every delivery would be dead if the outage used up attempts.
	log.waitFor(t, "forwarding is paused")
	if listener, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: s.handler()}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	for id, r := range b.waitUntil(t, allInState(inbox.Forwarded)) {
		if r.Attempts != 0 || r.Reason != "" {
			t.Errorf("event %s: %+v, want no attempts used up", id, r)
		}
	}
	stop()
	if pauses := strings.Count(log.String(), "forwarding is paused"); pauses != 1 {
		t.Errorf("the pause was logged %d times, want once:\n%s", pauses, log.String())
	}
	if !strings.Contains(log.String(), "forwarding resumed") {
		t.Errorf("the end of the outage was not logged:\n%s", log.String())
	}
}

// TestForwarder_unsentEventsStayUntried has no process that listens at ticketsvc's address. Such a call says nothing about its events, so
// they go together after the outage, and before those of later deliveries.
func TestForwarder_unsentEventsStayUntried(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.addMany(t, 50)
	away := httptest.NewServer(nil)
	away.Close()
	start(t, b, away.URL, io.Discard)
	rows := b.waitUntil(t, func(rows map[string]row) bool {
		for _, r := range rows {
			if r.Reason == "" {
				return false
			}
		}
		return true
	})
	for id, r := range rows {
		if r.State != inbox.Pending || r.Attempts+r.Deferrals != 0 {
			t.Errorf("event %s: %+v, want it pending and untried", id, r)
		}
	}
}

func TestForwarder_misconfiguredIsLoggedAndPausesEverything(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.addMany(t, 50)
	var log logText
	mux := http.NewServeMux() // some server at the URL that is not ticketsvc
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	stop := start(t, b, server.URL, &log)
	log.waitFor(t, "until the deployment is fixed")
	stop()
	if !allInState(inbox.Pending)(b.rows(t)) {
		t.Error("a delivery was given up")
	}
	if loud := strings.Count(log.String(), "level=ERROR"); loud != 1 || !strings.Contains(log.String(), "until the deployment is fixed") {
		t.Errorf("%d errors logged, want one that says so:\n%s", loud, log.String())
	}
}

func TestForwarder_retriesAfterABrokenConnection(t *testing.T) {
	t.Parallel()
	b, s := newBox(t), newTicketsvc(nil)
	var cut atomic.Int64
	inner := s.handler()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Every third answer is lost after the event was recorded: half of them before the headers, half within the body.
		switch cut.Add(1) % 6 {
		case 0:
			inner.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		case 3:
			inner.ServeHTTP(httptest.NewRecorder(), r)
			w.Header().Set("Content-Type", "application/proto")
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte{0})
			panic(http.ErrAbortHandler)
		default:
			inner.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	start(t, b, server.URL, io.Discard)
	b.addMany(t, 300)
	for id, r := range b.waitUntil(t, allInState(inbox.Forwarded)) {
		if r.Attempts != 0 {
			t.Errorf("event %s: %d attempts used up by lost answers", id, r.Attempts)
		}
	}
}

func TestForwarder_hangingEventsDelayNothingNew(t *testing.T) {
	t.Parallel()
	const hanging = 40
	b := newBox(t)
	over := make(chan struct{})
	var hung atomic.Int64
	forwarded := make(chan int64, 1)
	s := newTicketsvc(func(eventID string, _ int) error {
		if eventID == "good" {
			forwarded <- hung.Load()
			return nil
		}
		hung.Add(1)
		<-over
		return nil
	})
	url := startServer(t, s)
	t.Cleanup(func() { close(over) })
	b.addMany(t, hanging)
	var log logText
	stop := startWithTimeout(t, b, url, &log, 300*time.Millisecond)
	log.waitFor(t, "forwarding is paused")
	b.add(t, "good", body("good"))
	before := hung.Load()
	if calls := <-forwarded - before; calls > 16 {
		t.Errorf("%d calls of events that hang came before the good one, want what was under way and a few probes at most", calls)
	}
	stop()
	for id, r := range b.rows(t) {
		if r.State == inbox.Dead || r.Attempts != 0 {
			t.Errorf("event %s: %+v, want no attempt used up", id, r)
		}
	}
}

func TestForwarder_writesOutcomesAfterTheDatabaseIsBack(t *testing.T) {
	t.Parallel()
	b, s := newBox(t), newTicketsvc(nil)
	b.failures.Store(2)
	b.addMany(t, 20)
	start(t, b, startServer(t, s), io.Discard)
	for id := range b.waitUntil(t, allInState(inbox.Forwarded)) {
		if calls := s.callsOf(id); calls != 1 {
			t.Errorf("event %s was forwarded %d times, although its outcome was known", id, calls)
		}
	}
}
