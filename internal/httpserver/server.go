// Package httpserver holds what the HTTP servers of both services share: their start and stop, the limit of their connections, the access
// to addresses without credentials, and the content of an admin address.
//
// net/http waits at a stop for a write whose other end takes nothing. It has only one deadline for a whole response, which is too short for
// large responses and streams. Its pings do not help: a caller that does not read a response can still answer pings. So while a server
// stops, this package sets a deadline for each piece of a response. While the server serves, ticketsvc sets its own deadline for each piece
// (rpc.deadlineWriter), because responses take memory. The gateway does not: its responses are small, or for operators.
package httpserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// unusedGrace is how long a stop waits for the first request on a connection that has had none yet.
const unusedGrace = 200 * time.Millisecond

// receiveBytes is the maximum number of bytes of its requests that an HTTP/2 connection can have sent before handlers read them: the
// minimum that HTTP/2 allows. net/http would allow 1 MiB for each connection. HTTP/1.1 has 4 KiB.
const receiveBytes = 64 << 10

// Server is an HTTP server that listens.
type Server struct {
	server   *http.Server
	listener *listener
	served   chan error
}

// Listen makes server listen on address. The error is for the operator who set the address.
//
// Every response of the server's handler has Cache-Control: no-store, because it is private, or out of date a moment later.
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
	server.Handler = countRequests(withNoStore(server.Handler))
	return &Server{server: server, listener: newListener(listening, defaultMaxConnections(openFilesLimit())), served: make(chan error, 1)}, nil
}

// noStore is shared by all responses, because net/http only reads it.
var noStore = []string{"no-store"}

// withNoStore keeps caches from storing any response of next, whatever its status. Otherwise a cache may store the response to a GET, and
// calls without side effects are sent as GETs.
func withNoStore(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		w.Header()["Cache-Control"] = noStore
		next.ServeHTTP(w, request)
	})
}

// CloseIfAmbiguous closes the connection after the response if a proxy may have seen the end of the request elsewhere. That is each request
// with a Transfer-Encoding and each HTTP/1.0 request. net/http silently drops a Content-Length beside it (in HTTP/1.0 the
// Transfer-Encoding), although the two together can smuggle a request past a proxy. A connection that is closed can't smuggle a request.
func CloseIfAmbiguous(w http.ResponseWriter, request *http.Request) {
	if len(request.TransferEncoding) > 0 || !request.ProtoAtLeast(1, 1) {
		w.Header().Set("Connection", "close")
	}
}

// cause returns the reason of a listen error, without the address: the message has the address already.
func cause(err error) error {
	var opErr *net.OpError
	if errors.As(err, &opErr) {
		return opErr.Err
	}
	return err
}

// Addr returns the address on which the server listens.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Start begins to serve, over TLS if the server has a TLS configuration. onFailure is called if serving ends before a call of
// [Server.Stop].
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

// Stop takes no more connections, and lets the current requests end. Requests that have not ended when ctx ends are cut off, and then Stop
// returns an error. A connection whose other end takes nothing for 2 s is closed earlier. That is not an error: nobody waits for its
// responses.
func (s *Server) Stop(ctx context.Context) error {
	// net/http itself would wait 5 s for connections that were opened and never used, as by proxies and health checks.
	unused := time.AfterFunc(unusedGrace, s.listener.closeUnused)
	defer unused.Stop()
	s.listener.limitWrites()
	err := s.server.Shutdown(ctx)
	if err != nil {
		err = fmt.Errorf("requests on %s were cut off: %w", s.Addr(), errors.Join(err, s.server.Close()))
	}
	return errors.Join(err, <-s.served)
}

// Close releases the address of a server that was never started.
func (s *Server) Close() error { return s.listener.Close() }
