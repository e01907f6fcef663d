package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"connectrpc.com/authn"
	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"connectrpc.com/grpcreflect"

	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/internal/credentials"
	"github.com/ticketbridge/ticketbridge/internal/httpserver"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc/limits"
)

// callers are the scopes that may call a procedure. Nil allows everybody, with or without a token.
type callers []credentials.Scope

var (
	everybody callers
	anyToken  = callers{credentials.Ingest, credentials.Read, credentials.Admin}
	ingesters = callers{credentials.Ingest, credentials.Admin}
	readers   = callers{credentials.Read, credentials.Admin}
	operators = callers{credentials.Admin}
)

// access is the only table of the scopes that may call each procedure if the service has tokens. A procedure that is not in the table can't
// be called.
//
// Health checks are for load balancers, which have no token, and return no more than these need. Reflection shows the contract to every
// caller with a token.
var access = map[string]callers{
	ticketv1connect.TicketEventServiceTicketCreatedProcedure:      ingesters,
	ticketv1connect.TicketEventServiceTicketUpdatedProcedure:      ingesters,
	ticketv1connect.TicketEventServiceRecordTicketEventsProcedure: ingesters,
	ticketv1connect.TicketEventServiceCheckLogPositionsProcedure:  ingesters,
	// These list the ids of erased tickets, and repeat erasures: a token of this scope can't erase any other ticket.
	ticketv1connect.TicketEventServiceListErasuresProcedure:   ingesters,
	ticketv1connect.TicketEventServiceRepeatErasuresProcedure: ingesters,

	ticketv1connect.TicketServiceGetTicketProcedure:        readers,
	ticketv1connect.TicketServiceBatchGetTicketsProcedure:  readers,
	ticketv1connect.TicketServiceListTicketsProcedure:      readers,
	ticketv1connect.TicketServiceListTicketEventsProcedure: readers,
	ticketv1connect.TicketServiceWatchTicketsProcedure:     readers,
	ticketv1connect.TicketServiceGetTicketStatsProcedure:   readers,
	ticketv1connect.TicketServiceEraseTicketProcedure:      operators,

	"/" + grpchealth.HealthV1ServiceName + "/Check": everybody,
	"/" + grpchealth.HealthV1ServiceName + "/Watch": everybody,

	"/" + grpcreflect.ReflectV1ServiceName + "/ServerReflectionInfo":      anyToken,
	"/" + grpcreflect.ReflectV1AlphaServiceName + "/ServerReflectionInfo": anyToken,
}

// unauthenticatedTimeout is the maximum time in which a rejected caller can send the body of its request. The body is not read, but
// net/http waits for it before it responds.
const unauthenticatedTimeout = 2 * time.Second

// withTokens passes a call to next if the access table allows it to the scope of the call's token.
func withTokens(next http.Handler, tokens *credentials.Current, log *slog.Logger) http.Handler {
	return authenticated(next, func(ctx context.Context, request *http.Request) (any, error) {
		return authorize(ctx, request, tokens, log)
	})
}

// withoutTokens passes a call to next if the call names the service by an IP address or as localhost, as calls from the same machine do. A
// call with another name can be that of a web page whose own name was made to resolve to this machine (DNS rebinding): without tokens
// nothing else distinguishes it. A call of a page of another origin passes if isAllowed returns true.
func withoutTokens(next http.Handler, isAllowed func(origin string) bool) http.Handler {
	return authenticated(next, func(_ context.Context, request *http.Request) (any, error) {
		if !httpserver.NamesThisMachine(request.Host) {
			return nil, connect.NewError(connect.CodePermissionDenied,
				errors.New("without tokens the service is called by an IP address or as localhost: do so, or set --tokens-file"))
		}
		if !isAllowed(request.Header.Get("Origin")) && httpserver.FromOtherPage(request) {
			return nil, connect.NewError(connect.CodePermissionDenied,
				errors.New("without tokens no web page of another origin may call, unless --cors-origins allows it"))
		}
		return authorization{caller: addressOf(request), recheck: func(context.Context) error { return nil }}, nil
	})
}

// authenticated passes a call to next if decide returns an [authorization] for it, or nil for a call that needs none. decide reads only the
// headers, so a rejected call costs no more than to read them. A call with a header that is too large gets status 431.
func authenticated(next http.Handler, decide authn.AuthFunc) http.Handler {
	checked := authn.NewMiddleware(decide).Wrap(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if authn.GetInfo(request.Context()) != nil {
			// It can't fail, because the connection of a server supports deadlines.
			_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
		}
		next.ServeHTTP(w, request)
	}))
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(unauthenticatedTimeout))
		if isHeaderTooLarge(request) {
			w.Header().Set("Connection", "close")
			request.Header = nil // net/http holds the request while it waits for the body.
			http.Error(w, fmt.Sprintf("the header has more than %d fields or %d KiB", maxHeaderFields, maxFieldBytes>>10),
				http.StatusRequestHeaderFieldsTooLarge)
			return
		}
		checked.ServeHTTP(w, request)
	})
}

// authorization is the permission of a call.
type authorization struct {
	// caller is the caller that the call counts for.
	caller limits.Caller
	// recheck returns an error if the call is no longer allowed, because the tokens have changed.
	recheck func(context.Context) error
}

// callerOf returns the caller of the call of ctx.
func callerOf(ctx context.Context) limits.Caller {
	if a, ok := authn.GetInfo(ctx).(authorization); ok {
		return a.caller
	}
	return limits.Unauthenticated
}

// addressOf returns the caller of a request that has no token: its address.
func addressOf(request *http.Request) limits.Caller {
	address, err := netip.ParseAddrPort(request.RemoteAddr)
	if err != nil {
		return limits.Unauthenticated
	}
	return limits.Caller("address " + address.Addr().String())
}

// checkAuthorization returns an error if the call of ctx is no longer allowed.
func checkAuthorization(ctx context.Context) error {
	if a, ok := authn.GetInfo(ctx).(authorization); ok {
		return a.recheck(ctx)
	}
	return nil
}

// authorize returns the [authorization] of a request, nil if it needs none, or the error for the caller. It logs neither tokens nor paths
// that are not in the table, because these can contain anything.
func authorize(ctx context.Context, request *http.Request, tokens *credentials.Current, log *slog.Logger) (any, error) {
	procedure := request.URL.Path
	allowed, known := access[procedure]
	if known && allowed == nil {
		return nil, nil
	}
	if !known {
		procedure = "none of the contract's"
	}
	refuse := func(scope credentials.Scope, err *connect.Error) (any, error) {
		log.DebugContext(ctx, "call refused",
			"procedure", procedure, "code", err.Code().String(), "scope", scope.String(), "remote", request.RemoteAddr)
		return nil, err
	}
	scope, name := identify(request, tokens)
	switch {
	case scope == credentials.None:
		return refuse(scope, errUnauthenticated())
	case !known:
		// This shows a client of a newer contract that the service is older. The client gets the same error without tokens.
		return refuse(scope, connect.NewError(connect.CodeUnimplemented, errors.New("there is no such procedure")))
	case !slices.Contains(allowed, scope):
		return refuse(scope, connect.NewError(connect.CodePermissionDenied, fmt.Errorf("the token's scope %v does not allow this call", scope)))
	}
	return authorization{caller: limits.Caller("token " + name), recheck: func(ctx context.Context) error {
		_, err := authorize(ctx, request, tokens, log)
		return err
	}}, nil
}

// identify returns the scope and the name of a request's token. A request with two tokens has none.
func identify(request *http.Request, tokens *credentials.Current) (scope credentials.Scope, name string) {
	token, found := authn.BearerToken(request)
	if !found || len(request.Header["Authorization"]) != 1 {
		return credentials.None, ""
	}
	return tokens.Identify(token)
}

// errUnauthenticated returns the error for a call without a valid token. It does not say what is wrong with the token.
func errUnauthenticated() *connect.Error {
	err := connect.NewError(connect.CodeUnauthenticated, errors.New("a valid bearer token is needed"))
	err.Meta().Set("WWW-Authenticate", "Bearer")
	return err
}
