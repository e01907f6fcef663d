// Package rpc serves the contract's TicketEventService and TicketService over Connect, gRPC and gRPC-Web, with gRPC's health and
// reflection services beside them.
//
// Handlers check a request, call the rules or the store, and return the rules' errors; one table, in errors.go, says what these are to
// callers.
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
	// maxSendBytes is the size of the largest response. Pages end long before it; a batch of large tickets may not.
	// [ticket.MaxBytes] follows from it, and so does the largest event.
	maxSendBytes = 12 << 20
	// compressBytes is the size from which a response is compressed, for callers that can read that. Answers to events are a few bytes, a
	// ticket some kilobytes: to compress these costs more time than a network between services saves. It was an eighth of all processor
	// time of recording events.
	compressBytes = 8 << 10
	// maxHeaderBytes has room for a BatchGetTickets of 1000 usual ids that is sent as a GET.
	maxHeaderBytes = 64 << 10
	// maxHeaderFields is how many fields the header of a request has at most, and maxFieldBytes how large these are together, with the URL
	// where that is not the message. They are in memory as long as the call, and an empty field takes a hundred bytes there. Browsers and
	// proxies send some tens.
	maxHeaderFields, maxFieldBytes = 128, 16 << 10
	// maxCallTime is how long a call may take at most, streams apart, where the caller's own deadline is later or missing. A list whose
	// filter few tickets meet may have to look at all of them.
	maxCallTime = 25 * time.Second
	// maxStreams is how many calls one HTTP/2 connection has at the same time, as many as net/http lets it have by default. Clients make other
	// connections for more. The gateway speaks HTTP/1.1.
	maxStreams = 250
	// maxBodyTime is how long a caller may take over its request. It is enough for the largest on a line of 4 Mbit/s.
	maxBodyTime = 30 * time.Second
	// maxWriteTime is how long a caller may take to read an answer, streams apart. It is enough for a page on a line of 1 Mbit/s, and for the
	// largest on one of 2.
	maxWriteTime = time.Minute
	// maxStallTime is how long a caller may read nothing of an answer.
	maxStallTime = 10 * time.Second
	// pingAfter is how long an HTTP/2 connection may be silent before the other end is asked whether it is still there, and pingTimeout how
	// long its answer may take. A connection without an answer is closed, and its calls end: streams, which live as long as their callers,
	// would otherwise wait for machines that were switched off. HTTP/1.1 has no pings; there the kernel's keep-alives do it, within minutes.
	pingAfter, pingTimeout = 15 * time.Second, 15 * time.Second
)

var serviceNames = []string{ticketv1connect.TicketEventServiceName, ticketv1connect.TicketServiceName}

// Service serves the RPCs. It is to be closed.
type Service struct {
	ingester *ticket.Ingester
	feed     *watch.Feed
	streams  streamLimits
	handler  http.Handler
}

// New returns a service that keeps what it is told in store. ready returns nil while the service should get calls; health checks show
// it.
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

// withCallTimeout returns the interceptor that gives unary calls a deadline, and frees the room of their requests before they are answered: callers
// can take long to read.
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

// Close takes no more events, and returns once those that were taken are recorded or ctx ends. It comes after the server has stopped
// and before the store is closed.
func (s *Service) Close(ctx context.Context) error {
	s.feed.Close()
	return s.ingester.Stop(ctx)
}

// Security says who may call the service, and how it is sure that nobody else listens.
type Security struct {
	// Tokens are those that count at the moment. Nil lets everybody call everything who can reach the service by its address.
	Tokens *credentials.Current
	// TLS is the configuration with the service's certificate. Nil means cleartext.
	TLS *tls.Config
	// Origins are those of the web pages that may call from a browser, each good for [CheckOrigin]. Without any, none may.
	Origins []string
	// WatchersPerToken is how many streams of WatchTickets one token has at most, and without tokens one address. 0 means the default.
	WatchersPerToken int
}

// NewServer returns the HTTP server of the service, for HTTP/1.1 and HTTP/2, in cleartext or over TLS.
//
// The server itself has no limit on how long a response may take, since that would cut off streams. These end, with a token to resume from,
// when the server is shut down.
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

// health answers gRPC's health checks. While the database is read-only TicketEventService alone does not serve.
type health struct {
	ready func(context.Context) error
}

// Check implements [grpchealth.Checker].
func (h health) Check(ctx context.Context, request *grpchealth.CheckRequest) (*grpchealth.CheckResponse, error) {
	if request.Service != "" && !slices.Contains(serviceNames, request.Service) {
		return nil, connect.NewError(connect.CodeNotFound, errors.New("no such service"))
	}
	err := h.ready(ctx)
	if errors.Is(err, httpserver.ErrReadOnly) && request.Service != ticketv1connect.TicketEventServiceName {
		err = nil
	}
	if err != nil {
		return &grpchealth.CheckResponse{Status: grpchealth.StatusNotServing}, nil
	}
	return &grpchealth.CheckResponse{Status: grpchealth.StatusServing}, nil
}
