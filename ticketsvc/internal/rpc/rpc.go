// Package rpc serves the contract's TicketEventService and TicketService over Connect, gRPC and gRPC-Web, together with gRPC's health and
// reflection services.
//
// Handlers check a request, call the rules or the store, and return the errors of the rules. One table, in errors.go, maps these errors to
// those that callers get.
package rpc

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"slices"
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
	// maxSendBytes is the maximum size of a response. Pages are always much smaller; a batch of large tickets may not be. [ticket.MaxBytes]
	// follows from it, and so does the maximum size of an event.
	maxSendBytes = 12 << 20
	// compressBytes is the minimum size of a response that is compressed, for callers that accept compression. Responses to events have a few
	// bytes, and a ticket has some kilobytes: to compress these takes more time than it saves on a network between services. It took an eighth
	// of all processor time of recording events.
	compressBytes = 8 << 10
	// maxHeaderBytes is enough for a BatchGetTickets of 1000 usual ids that is sent as a GET.
	maxHeaderBytes = 64 << 10
	// maxHeaderFields is the maximum number of fields in the header of a request. maxFieldBytes is their maximum size together, including the
	// URL if the URL does not hold the message. The fields stay in memory as long as the call, and an empty field takes a hundred bytes there.
	// Browsers and proxies send a few tens of fields.
	maxHeaderFields, maxFieldBytes = 128, 16 << 10
	// maxCallTime is the maximum time of a call, except streams, if the caller's own deadline is later or missing. A list with a filter that
	// few tickets match may have to scan all tickets.
	maxCallTime = 25 * time.Second
	// maxStreams is the maximum number of simultaneous calls on one HTTP/2 connection, the default of net/http. Clients open further
	// connections for more calls. The gateway uses HTTP/1.1.
	maxStreams = 250
	// maxBodyTime is the maximum time in which a caller can send its request. It is enough for the largest request over 4 Mbit/s.
	maxBodyTime = 30 * time.Second
	// maxWriteTime is the maximum time in which a caller can read a response, except streams. It is enough for a page over 1 Mbit/s, and for
	// the largest response over 2 Mbit/s.
	maxWriteTime = time.Minute
	// maxStallTime is the maximum time for which a caller may read nothing of a response.
	maxStallTime = 10 * time.Second
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
	limits.Tail.Room, limits.Page.Room = roomForAnswer, roomForAnswer
	tickets := watch.New(store, limits, watch.Notices{
		Failed:    func(err error) { log.Warn("the feed can't read the event log: watchers are late", "error", err) },
		Recovered: func() { log.Info("the feed reads the event log again") },
		Late: func(events int64) {
			log.Warn("the feed is late: the watchers take more processor time than there is; start another replica, or use narrower filters",
				"events", events)
		},
		CaughtUp: func() { log.Info("the feed is not late any more") },
	})
	translator := newErrorTranslator(log)
	options := connect.WithHandlerOptions(
		connect.WithReadMaxBytes(maxOtherBytes),
		connect.WithSendMaxBytes(maxSendBytes),
		connect.WithCompressMinBytes(compressBytes),
		codecs(),
		boundedGzip(maxOtherBytes),
		connect.WithRecover(recoverer(log)),
		connect.WithInterceptors(translator, unpacker{}, withCallTimeout(maxCallTime)),
	)
	reflector := grpcreflect.NewStaticReflector(append(serviceNames[:len(serviceNames):len(serviceNames)], grpchealth.HealthV1ServiceName)...)
	mux := http.NewServeMux()
	path, handler := ticketv1connect.NewTicketEventServiceHandler(
		&eventService{ingester: ingester, store: store, errors: translator}, options)
	events := newEventLimits()
	mux.Handle(path, events.read(handler))
	mux.Handle(ticketv1connect.TicketEventServiceRecordTicketEventsProcedure, events.forBatches().read(handler))
	path, handler = ticketv1connect.NewTicketServiceHandler(&ticketService{store: store, feed: tickets, streams: streams}, options)
	mux.Handle(path, newQueryLimits().read(newWork(translator).bound(handler)))
	mux.Handle(grpchealth.NewHandler(health{ready: ready}, options))
	reflecting := connect.WithHandlerOptions(options, connect.WithInterceptors(newReflections()))
	mux.Handle(grpcreflect.NewHandlerV1(reflector, reflecting))
	mux.Handle(grpcreflect.NewHandlerV1Alpha(reflector, reflecting))
	return &Service{ingester: ingester, feed: tickets, streams: streams, handler: newAnswers(translator).count(validateFrames(mux))}
}

// withCallTimeout returns the interceptor that gives unary calls a deadline, and releases the room of their requests before they are
// answered, because callers can take long to read.
func withCallTimeout(limit time.Duration) connect.UnaryInterceptorFunc {
	return func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
			ctx, cancel := context.WithTimeout(ctx, limit)
			defer cancel()
			defer releaseRequest(ctx)
			return next(ctx, request)
		}
	}
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
	handler := withBodyDeadline(s.handler, maxBodyTime, s.streams)
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

// health answers gRPC's health checks. While the database is read-only, only TicketEventService reports not serving.
type health struct {
	ready func(context.Context) error
}

// Check implements [grpchealth.Checker].
func (h health) Check(ctx context.Context, request *grpchealth.CheckRequest) (*grpchealth.CheckResponse, error) {
	if request.Service != "" && !slices.Contains(serviceNames, request.Service) {
		return nil, connect.NewError(connect.CodeNotFound, errors.New("no such service"))
	}
	err := h.ready(ctx)
	status := grpchealth.StatusNotServing
	if err == nil || errors.Is(err, httpserver.ErrReadOnly) && request.Service != ticketv1connect.TicketEventServiceName {
		status = grpchealth.StatusServing
	}
	return &grpchealth.CheckResponse{Status: status}, nil
}
