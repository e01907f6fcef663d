package webhook

import (
	"log/slog"
	"net/http"
	"time"
)

// The time and size limits of a connection to the webhook handler. Allthings posts a few kilobytes and waits for the answer. A sender that
// needs longer than this is not Allthings.
const (
	// readHeaderTimeout bounds the time from a request's first byte to the end of its headers.
	readHeaderTimeout = 5 * time.Second
	// readTimeout bounds the time from a request's first byte to the end of its body.
	readTimeout = 15 * time.Second
	// writeTimeout bounds the time from the end of the headers to the end of the answer, including the commit.
	writeTimeout = 30 * time.Second
	// drainTimeout bounds how long the rest of a body is read after an answer that closes the connection.
	drainTimeout = time.Second
	// maxRequestHeaderBytes bounds the headers of a request. net/http adds 4 KiB for its own buffer.
	maxRequestHeaderBytes = 16 << 10
)

// NewServer returns the webhook handler's server: HTTP/1.1 only, with a time limit for every phase of a request. idleTimeout bounds the
// time between two requests. It must be longer than the idle timeout of a load balancer in front: a load balancer that sends a request on a
// connection that the server is closing answers its client with 502.
func NewServer(handler *Handler, idleTimeout time.Duration, log *slog.Logger) *http.Server {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxRequestHeaderBytes,
		Protocols:         new(http.Protocols),
		// net/http's messages about broken connections can be caused by anybody, and need no action.
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		// So that OPTIONS * gets the handler's answer as well.
		DisableGeneralOptionsHandler: true,
	}
	server.Protocols.SetHTTP1(true)
	return server
}
