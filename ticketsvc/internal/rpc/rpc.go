// Package rpc serves the contract's TicketEventService and TicketService over Connect, gRPC and gRPC-Web, together with gRPC's health and
// reflection services.
//
// Handlers check a request, call the rules or the store, and return the errors of the rules. One table, in errors.go, maps these errors to
// those that callers get.
//
// A request passes, in this order, through [withCORS], [withTokens] or [withoutTokens], [withDeadlines], [withResponseMemory] and
// [validateFrames]. A request of both services then passes [requestLimits], and a request of TicketService also [withCallLimit]. Last comes
// Connect with the interceptors [errorMapper], [decodeInterceptor] and [withCallTimeout].
package rpc

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"connectrpc.com/grpcreflect"

	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/internal/credentials"
	"github.com/ticketbridge/ticketbridge/internal/httpserver"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/watch"
)

const (
	// maxHeaderBytes is enough for a BatchGetTickets of 1000 usual ids that is sent as a GET.
	maxHeaderBytes = 64 << 10
	// maxStreams is the maximum number of simultaneous calls on one HTTP/2 connection, the default of net/http. Clients open further
	// connections for more calls. The gateway uses HTTP/1.1.
	maxStreams = 250
	// pingAfter is the time after which a silent HTTP/2 connection is checked with a ping. pingTimeout is the maximum time to wait for the
	// reply. A connection without a reply is closed, and its calls end: streams, which live as long as their callers, would otherwise wait for
	// machines that were switched off. HTTP/1.1 has no pings; there the kernel's keep-alives find such connections, within minutes.
	pingAfter, pingTimeout = 15 * time.Second, 15 * time.Second
)

var serviceNames = []string{ticketv1connect.TicketEventServiceName, ticketv1connect.TicketServiceName}

// Service serves the RPCs. It must be closed with [Service.Close].
type Service struct {
	ingester *ticket.Ingester
	feed     *watch.Feed
	streams  streamLimits
	handler  http.Handler
}

// New returns a service that stores events in store. ready returns nil while the service should get calls. Health checks report it.
func New(store ticket.Store, ready func(context.Context) error, log *slog.Logger) *Service {
	return newService(store, ready, log, watch.DefaultLimits(), defaultStreamLimits)
}

func newService(store ticket.Store, ready func(context.Context) error, log *slog.Logger, limits watch.Limits, streams streamLimits,
) *Service {
	ingester := ticket.NewIngester(store)
	limits.Tail.Budget, limits.Page.Budget = checkTicketFits, checkTicketFits
	feed := watch.New(store, limits, watch.Notices{
		Failed:    func(err error) { log.Warn("the feed can't read the event log: watchers are late", "error", err) },
		Recovered: func() { log.Info("the feed reads the event log again") },
		Late: func(events int64) {
			log.Warn("the feed is late: the watchers take more processor time than there is; start another replica, or use narrower filters",
				"events", events)
		},
		CaughtUp: func() { log.Info("the feed is not late any more") },
	})
	mapper := newErrorMapper(log)
	options := connect.WithHandlerOptions(
		connect.WithReadMaxBytes(maxOtherBytes),
		connect.WithSendMaxBytes(maxSendBytes),
		connect.WithCompressMinBytes(compressBytes),
		withCodecs(),
		withGzip(maxOtherBytes),
		connect.WithRecover(recoverPanic(log)),
		connect.WithInterceptors(mapper, decodeInterceptor{}, withCallTimeout(maxCallTime)),
	)
	reflector := grpcreflect.NewStaticReflector(append(serviceNames[:len(serviceNames):len(serviceNames)], grpchealth.HealthV1ServiceName)...)
	mux := http.NewServeMux()
	path, handler := ticketv1connect.NewTicketEventServiceHandler(
		&eventService{ingester: ingester, store: store, errors: mapper}, options)
	events := newEventLimits()
	mux.Handle(path, events.wrap(handler))
	mux.Handle(ticketv1connect.TicketEventServiceRecordTicketEventsProcedure, events.forBatches().wrap(handler))
	path, handler = ticketv1connect.NewTicketServiceHandler(&ticketService{store: store, feed: feed, streams: streams}, options)
	mux.Handle(path, newQueryLimits().wrap(withCallLimit(handler, mapper)))
	mux.Handle(grpchealth.NewHandler(health{ready: ready}, options))
	reflecting := connect.WithHandlerOptions(options, connect.WithInterceptors(newReflectionLimit()))
	mux.Handle(grpcreflect.NewHandlerV1(reflector, reflecting))
	mux.Handle(grpcreflect.NewHandlerV1Alpha(reflector, reflecting))
	return &Service{ingester: ingester, feed: feed, streams: streams, handler: withResponseMemory(validateFrames(mux), mapper)}
}

// Close takes no more events, and returns after all events that were taken are recorded or ctx ends. It must be called after the server has
// stopped, and before the store is closed.
func (s *Service) Close(ctx context.Context) error {
	s.feed.Close()
	return s.ingester.Stop(ctx)
}

// Security decides which callers are allowed, and whether connections are encrypted.
type Security struct {
	// Tokens are the currently valid tokens. Nil allows everybody who can reach the service by its address to call everything.
	Tokens *credentials.Current
	// TLS is the configuration with the service's certificate. Nil means cleartext.
	TLS *tls.Config
	// Origins are the origins of the web pages that may call from a browser. Each must pass [CheckOrigin]. Empty allows none.
	Origins []string
	// WatchersPerToken is the maximum number of WatchTickets streams of one token, or of one address if the service has no tokens. 0 means the
	// default.
	WatchersPerToken int
}

// NewServer returns the HTTP server of the service, for HTTP/1.1 and HTTP/2, in cleartext or over TLS.
//
// The server itself has no limit for the time of a response, because that would cut off streams. Streams end with a token to resume from
// when the server shuts down.
func (s *Service) NewServer(security Security, log *slog.Logger) *http.Server {
	handler := withDeadlines(s.handler, maxBodyTime, s.streams)
	if security.Tokens != nil {
		handler = withTokens(handler, security.Tokens, log)
	} else {
		handler = withoutTokens(handler, allowedOrigins(security.Origins))
	}
	if len(security.Origins) > 0 {
		handler = withCORS(handler, allowedOrigins(security.Origins))
	}
	if security.WatchersPerToken > 0 {
		s.feed.LimitCallers(security.WatchersPerToken)
	}
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(security.TLS != nil)
	protocols.SetUnencryptedHTTP2(security.TLS == nil)
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
			httpserver.CloseIfAmbiguous(w, request)
			handler.ServeHTTP(w, request)
		}),
		TLSConfig:         security.TLS,
		Protocols:         protocols,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams, SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	server.RegisterOnShutdown(s.feed.Stop)
	return server
}
