// Package httpserver holds what the HTTP servers of both services share: how they begin and end, how many connections they have, whom an
// address without credentials lets in, and what an admin address shows.
//
// A stop of net/http waits for a write whose other end takes nothing. It has one deadline for a whole answer, which large answers and
// streams outlive, and its pings do not help: a caller that reads no answer can still answer pings. So while a server stops, each piece of
// an answer has a deadline here. While it serves, ticketsvc gives each piece of an answer a deadline of its own (rpc.pacedWriter), because
// answers take memory; the gateway's answers are small, or for operators.
package httpserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strconv"
	"time"

	"github.com/ticketbridge/ticketbridge/internal/logthrottle"
)

// unusedGrace is how long a stop waits for the first request on a connection that has brought none yet.
const unusedGrace = 200 * time.Millisecond

// receiveBytes is how much of its requests an HTTP/2 connection can have sent before handlers read it: the least that HTTP/2 allows.
// net/http would hold 1 MiB for each connection. HTTP/1.1 has 4 KiB.
const receiveBytes = 64 << 10

// Server is an HTTP server that listens.
type Server struct {
	server   *http.Server
	listener *listener
	served   chan error
}

// Listen makes server listen on address. The error is for whoever set the address.
//
// Every answer of the server's handler has Cache-Control: no-store, because it is private, or out of date a moment later.
func Listen(ctx context.Context, address string, server *http.Server) (*Server, error) {
	var config net.ListenConfig
	listening, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("can't listen on %s (%w): name an address of this machine, as host:port, that is free", address, cause(err))
	}
	server.ConnContext = withConn
	if server.HTTP2 == nil {
		server.HTTP2 = &http.HTTP2Config{}
	}
	server.HTTP2.MaxReceiveBufferPerStream, server.HTTP2.MaxReceiveBufferPerConnection = receiveBytes, receiveBytes
	server.Handler = tracked(withNoStore(server.Handler))
	return &Server{server: server, listener: newListener(listening, defaultMaxConnections(openFilesLimit())), served: make(chan error, 1)}, nil
}

// noStore is shared by all answers: net/http only reads it.
var noStore = []string{"no-store"}

// withNoStore has caches keep no answer of next, whatever its status. Without that a cache may keep a GET, and calls without side effects
// are sent as GETs.
func withNoStore(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		w.Header()["Cache-Control"] = noStore
		next.ServeHTTP(w, request)
	})
}

// CloseIfAmbiguous has the connection closed after the answer to a request whose end a proxy may see elsewhere: each with a
// Transfer-Encoding. net/http drops a Content-Length beside it without a word (in HTTP/1.0 the Transfer-Encoding), though the two together
// can smuggle a request past a proxy. A connection that is closed has nothing to smuggle.
func CloseIfAmbiguous(w http.ResponseWriter, request *http.Request) {
	if len(request.TransferEncoding) > 0 || !request.ProtoAtLeast(1, 1) {
		w.Header().Set("Connection", "close")
	}
}

// cause is the reason behind a listen error, without the address that the message has already.
func cause(err error) error {
	var opErr *net.OpError
	if errors.As(err, &opErr) {
		return opErr.Err
	}
	return err
}

// Addr returns the address on which the server listens.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Start begins to serve, over TLS when the server has a configuration of it. onFailure is called when serving ends before [Server.Stop]
// asked for it.
func (s *Server) Start(onFailure func(error)) {
	go func() {
		serve := s.server.Serve
		if s.server.TLSConfig != nil {
			serve = func(l net.Listener) error { return s.server.ServeTLS(l, "", "") }
		}
		err := serve(s.listener)
		if errors.Is(err, http.ErrServerClosed) {
			err = nil
		}
		s.served <- err
		if err != nil {
			onFailure(fmt.Errorf("serving on %s: %w", s.Addr(), err))
		}
	}()
}

// Stop takes no more connections, and lets the requests at hand end. Those that have not ended when ctx does are cut off, which is
// the error then. A connection whose other end takes nothing for 2 s is closed before, which is no error: nobody waits for its answers.
func (s *Server) Stop(ctx context.Context) error {
	// net/http itself would wait 5 s for connections that were opened and never used, as proxies and health checks do.
	unused := time.AfterFunc(unusedGrace, s.listener.closeUnused)
	defer unused.Stop()
	s.listener.limitWrites()
	err := s.server.Shutdown(ctx)
	if err != nil {
		err = fmt.Errorf("requests on %s were cut off: %w", s.Addr(), errors.Join(err, s.server.Close()))
	}
	return errors.Join(err, <-s.served)
}

// Close lets go of the address of a server that was never started.
func (s *Server) Close() error { return s.listener.Close() }

// readyTimeout bounds one question whether the service is ready.
const readyTimeout = 2 * time.Second

// NewAdmin returns the server of an admin address: /livez (200 while the process runs), /readyz (200 while ready returns nil or
// [ErrReadOnly], else 503, with the error's text), and profiles under /debug/pprof/. Its address must be out of the public's reach. It
// answers 403 to what a page of another origin asks for, see [FromOtherPage].
//
// The command line is left out of the profiles: it can hold secrets.
func NewAdmin(ready func(context.Context) error) (*http.Server, *http.ServeMux) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { writeLine(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
		defer cancel()
		switch err := ready(ctx); {
		case err == nil:
			writeLine(w, http.StatusOK, "ok")
		case errors.Is(err, ErrReadOnly):
			writeLine(w, http.StatusOK, "ok, but "+err.Error())
		default:
			writeLine(w, http.StatusServiceUnavailable, err.Error())
		}
	})
	for path, profile := range map[string]http.HandlerFunc{"": pprof.Index, "profile": pprof.Profile, "symbol": pprof.Symbol,
		"trace": pprof.Trace} {
		mux.HandleFunc("GET /debug/pprof/"+path, boundedProfile(profile))
	}
	return &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			// Probes of HTTP/1.0 may have no Host. Browsers always send one.
			if r.Host != "" && !NamesThisMachine(r.Host) || FromOtherPage(r) {
				writeLine(w, http.StatusForbidden,
					"an admin address is called by an IP address or as localhost, and not by web pages of other origins")
				return
			}
			mux.ServeHTTP(w, r)
		}),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
	}, mux
}

// ErrReadOnly says that a service can answer reads and nothing else. Balancers are to leave it in use: all replicas share the database, so
// none of them can do more.
var ErrReadOnly = errors.New("the database is read-only: reads are served, writes are not")

var (
	errStopping   = errors.New("the service is stopping")
	errNoDatabase = errors.New("the database can't be used")
)

// Readiness returns a function for [NewAdmin] that says why a service should get no requests, if so: it is stopping, since serving has
// ended, or ping, which asks its database, fails. [ErrReadOnly] of ping stays as it is. [WatchReadiness] logs the answer.
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

// WatchReadiness asks ready once a second until ctx ends, and logs when a service is not ready any more and when it is again. A service
// that is not ready again and again is logged once a minute.
func WatchReadiness(ctx context.Context, ready func(context.Context) error, log *slog.Logger) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	throttle := logthrottle.New(time.Minute)
	logged := false
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			asking, cancel := context.WithTimeout(ctx, readyTimeout)
			err := ready(asking)
			cancel()
			switch {
			case ctx.Err() != nil:
				return
			case err == nil && logged:
				log.Info("service is ready again")
				logged = false
			case err != nil && !logged:
				if _, logged = throttle.Allow(now); logged && errors.Is(err, ErrReadOnly) {
					log.Warn("service is ready for reads alone", "error", err)
				} else if logged {
					log.Error("service is not ready", "error", err)
				}
			}
		}
	}
}

// maxProfileSeconds is how long a profile may take.
const maxProfileSeconds = 60

// boundedProfile answers 400 to requests for a profile that would take longer than maxProfileSeconds.
func boundedProfile(profile http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		// What is not a number stands for the default of the profile.
		if seconds, err := strconv.ParseFloat(r.FormValue("seconds"), 64); (err == nil || errors.Is(err, strconv.ErrRange)) &&
			!(seconds <= maxProfileSeconds) {
			writeLine(w, http.StatusBadRequest, fmt.Sprintf("seconds must be at most %d", maxProfileSeconds))
			return
		}
		profile(w, r)
	}
}

func writeLine(w http.ResponseWriter, status int, line string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, line)
}
