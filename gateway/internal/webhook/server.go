package webhook

import (
	"log/slog"
	"net/http"
	"time"
)

// Bounds of a connection to the door. Allthings posts a few kilobytes and waits for the answer; who needs longer than this is not
// Allthings.
const (
	// readHeaderTimeout bounds the time from a request's first byte to the end of its headers.
	readHeaderTimeout = 5 * time.Second
	// readTimeout bounds the time from a request's first byte to the end of its body.
	readTimeout = 15 * time.Second
	// writeTimeout bounds the time from the end of the headers to the end of the answer, the commit included.
	writeTimeout = 30 * time.Second
	// drainTimeout bounds the time for which the rest of a body is read after an answer that closes the connection.
	drainTimeout = time.Second
	// maxHeadersBytes bounds the headers of a request; net/http adds 4 KiB for its own buffer.
	maxHeadersBytes = 16 << 10
)

// NewServer returns the door's server: HTTP/1.1 only, with every phase of a request bounded in time. idleTimeout bounds the time between
// two requests. It must be longer than a load balancer in front keeps its connections: one that sends a request on a connection which the
// server is closing answers its client with 502.
func NewServer(door *Handler, idleTimeout time.Duration, log *slog.Logger) *http.Server {
	server := &http.Server{
		Handler:           door,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeadersBytes,
		Protocols:         new(http.Protocols),
		// What net/http has to say of broken connections is anybody's to cause, and nothing to act on.
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		// So that OPTIONS * gets the door's answer as well.
		DisableGeneralOptionsHandler: true,
	}
	server.Protocols.SetHTTP1(true)
	return server
}
