package forwarder_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/authn"

	"github.com/ticketbridge/ticketbridge/gateway/internal/forwarder"
	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	"github.com/ticketbridge/ticketbridge/internal/httpserver"
	"github.com/ticketbridge/ticketbridge/internal/testkit/certificates"
)

const rightToken, wrongToken = "hush-the-right-one", "hush-the-wrong-one"

// guarded is a ticketsvc that refuses every call without the right token, in the header that callers send.
func guarded(s *ticketsvc, refused func()) http.Handler {
	inner := s.handler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if token, _ := authn.BearerToken(r); token == rightToken {
			inner.ServeHTTP(w, r)
			return
		}
		refused()
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"code":"unauthenticated","message":"a valid token is needed"}`)
	})
}

func TestForwarder_wrongTokenPausesEverything(t *testing.T) {
	t.Parallel()
	b, s := newBox(t), newTicketsvc(nil)
	refused := make(chan struct{})
	server := httptest.NewServer(guarded(s, func() {
		select {
		case refused <- struct{}{}:
		default:
		}
	}))
	t.Cleanup(server.Close)
	var token atomic.Pointer[string]
	show := func(text string) { token.Store(&text) }
	show(wrongToken)
	var log logText
	stop := startWithClient(t, b, server.URL, &log, 5*time.Second, forwarder.ClientOptions{Token: func() string { return *token.Load() }})
	b.addMany(t, 200)
	// By then every event would be dead if the refusals used up attempts.
	log.waitFor(t, "until the deployment is fixed")
	show("") // an empty token is as no token at all
	for range 10 {
		<-refused
	}
	show(rightToken)
	for id, r := range b.waitUntil(t, allInState(inbox.Forwarded)) {
		if r.Attempts != 0 || r.Reason != "" {
			t.Errorf("event %s: %+v, want no attempts used up", id, r)
		}
	}
	stop()
	if loud := strings.Count(log.String(), "level=ERROR"); loud != 1 || !strings.Contains(log.String(), "code=unauthenticated") {
		t.Errorf("%d errors logged, want one that says so:\n%s", loud, log.String())
	}
	if !strings.Contains(log.String(), "forwarding resumed") || strings.Contains(log.String(), "hush") {
		t.Errorf("log, want one that says that it goes on, without tokens:\n%s", log.String())
	}
}

func TestForwarder_wrongTokenIsLoggedAfterAnOutage(t *testing.T) {
	t.Parallel()
	b, s := newBox(t), newTicketsvc(nil)
	var back atomic.Bool
	inner := guarded(s, func() {})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !back.Load() {
			panic(http.ErrAbortHandler) // ticketsvc is away, and comes back with other tokens.
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	var log logText
	stop := start(t, b, server.URL, &log)
	b.addMany(t, 50)
	log.waitFor(t, "can't be reached")
	back.Store(true)
	log.waitFor(t, "until the deployment is fixed")
	stop()
	if warned, loud := strings.Count(log.String(), "can't be reached"),
		strings.Count(log.String(), "until the deployment is fixed"); warned != 1 || loud != 1 {
		t.Errorf("the outage was said %d times and the wrong token %d times, want once each:\n%s", warned, loud, log.String())
	}
}

func TestNewClient_redirectNeverGetsTheToken(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.add(t, "e", body("e"))
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	t.Cleanup(elsewhere.Close)
	redirected := make(chan string, 1000)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		redirected <- r.Header.Get("Authorization")
		http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	t.Cleanup(server.Close)
	startWithClient(t, b, server.URL, io.Discard, 5*time.Second, forwarder.ClientOptions{Token: func() string { return rightToken }})
	for range 3 {
		if shown := <-redirected; shown != "Bearer "+rightToken {
			t.Errorf("the call showed %q", shown)
		}
	}
}

func TestNewClient_certificateIsTrustedOrMisconfigured(t *testing.T) {
	t.Parallel()
	files := certificates.MustCreate(t)
	b, s := newBox(t), newTicketsvc(nil)
	var certificate httpserver.Certificate
	if err := certificate.Set(files.MustRead(t)); err != nil {
		t.Fatal(err)
	}
	server, err := httpserver.Listen(t.Context(), "127.0.0.1:0", &http.Server{Handler: s.handler(), TLSConfig: certificate.Config(),
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)})
	if err != nil {
		t.Fatal(err)
	}
	server.Start(func(err error) { t.Error(err) })
	t.Cleanup(func() {
		if err := server.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	url := "https://" + server.Addr()
	b.addMany(t, 20)
	var log logText
	stop := start(t, b, url, &log)
	log.waitFor(t, "until the deployment is fixed")
	stop()
	startWithClient(t, b, url, io.Discard, 5*time.Second, forwarder.ClientOptions{Authorities: files.MustPool(t)})
	for id, r := range b.waitUntil(t, allInState(inbox.Forwarded)) {
		if r.Attempts != 0 {
			t.Errorf("event %s: %+v, want no attempts used up", id, r)
		}
	}
}
