package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"connectrpc.com/connect"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
)

const (
	// streamTime is how long one stream lasts before it goes on as another. So nothing hangs for ever, whatever is in between, and when there
	// are more replicas of ticketsvc than before, they get their share.
	streamTime = 15 * time.Minute
	// firstPause and longestPause bound the pauses between attempts.
	firstPause, longestPause = 500 * time.Millisecond, 30 * time.Second
	// pingAfter is how long a connection may be silent before the other end is asked whether it is there. Heartbeats come more often.
	pingAfter = 20 * time.Second
	// maxMessageBytes is the size of the largest message that is taken. A ticket is a few kilobytes; it can be some megabytes.
	maxMessageBytes = 64 << 20
)

// NewClient returns a client of the ticketsvc at url, that shows what token returns, if anything.
func NewClient(url string, token func() (string, error)) ticketv1connect.TicketServiceClient {
	transport := &http.Transport{
		Protocols:       &http.Protocols{},
		Proxy:           http.ProxyFromEnvironment,
		HTTP2:           &http.HTTP2Config{SendPingTimeout: pingAfter},
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	// Streams want HTTP/2, in cleartext as well.
	transport.Protocols.SetHTTP2(true)
	transport.Protocols.SetUnencryptedHTTP2(true)
	return ticketv1connect.NewTicketServiceClient(&http.Client{Transport: transport}, url,
		connect.WithReadMaxBytes(maxMessageBytes), connect.WithInterceptors(showing{token}))
}

// Follow keeps tickets in step with ticketsvc until ctx ends, which is no error, or something is wrong that does not pass.
func Follow(ctx context.Context, client ticketv1connect.TicketServiceClient, tickets *Copy, log *slog.Logger) error {
	for failures := 0; ; failures++ {
		came, err := followOnce(ctx, client, tickets, log)
		if came {
			failures = 0
		}
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, errCopy) {
			return err
		}
		pause := rand.N(min(longestPause, firstPause<<min(failures, 10)))
		switch connect.CodeOf(err) {
		case connect.CodeInvalidArgument, connect.CodeUnimplemented:
			return fmt.Errorf("ticketsvc does not understand the call: %w", err)
		case connect.CodeOutOfRange:
			log.Warn("the token can't be served any more: starting again", "error", err)
			if err := tickets.StartAgain(ctx); err != nil {
				return err
			}
		case connect.CodeDeadlineExceeded:
			log.Debug("going on with another stream", "pause", pause)
		case connect.CodeUnauthenticated, connect.CodePermissionDenied:
			log.Error("ticketsvc refuses the token: give one of the scope read", "error", err, "pause", pause)
		default:
			log.Warn("the stream ended", "error", err, "pause", pause)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
}

// errCopy says that the copy could not be written.
var errCopy = errors.New("the copy can't be kept")

// followOnce takes in one stream. It tells whether anything came, and why the stream ended, which it always does some time.
func followOnce(ctx context.Context, client ticketv1connect.TicketServiceClient, tickets *Copy, log *slog.Logger) (came bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, streamTime)
	defer cancel()
	token, err := tickets.Token(ctx)
	if err != nil {
		return false, errors.Join(errCopy, err)
	}
	stream, err := client.WatchTickets(ctx, &ticketv1.WatchTicketsRequest{ResumeToken: token})
	if err != nil {
		return false, err
	}
	defer func() { _ = stream.Close() }()
	for stream.Receive() {
		if err := tickets.Apply(ctx, stream.Msg()); err != nil && ctx.Err() == nil {
			return came, errors.Join(errCopy, err)
		} else if err != nil {
			return came, err
		}
		if !came {
			log.Info("following")
		}
		came = true
	}
	return came, stream.Err()
}

// showing makes each call show a token.
type showing struct {
	token func() (string, error)
}

func (s showing) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		if err := s.show(request.Header()); err != nil {
			return nil, err
		}
		return next(ctx, request)
	}
}

func (s showing) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		// Without its token the call is refused, which says enough.
		_ = s.show(conn.RequestHeader())
		return conn
	}
}

func (s showing) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

func (s showing) show(header http.Header) error {
	token, err := s.token()
	if err == nil && token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	return err
}
