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
	// maxStreamTime is the maximum time of one stream. Then a new stream resumes. So no stream hangs for ever, and new replicas of ticketsvc
	// get their share of the streams.
	maxStreamTime = 15 * time.Minute
	// minBackoff and maxBackoff are the limits of the delay between attempts.
	minBackoff, maxBackoff = 500 * time.Millisecond, 30 * time.Second
	// pingAfter is the time after which a silent connection is checked with a ping. Heartbeats come more often.
	pingAfter = 20 * time.Second
	// maxMessageBytes is the maximum size of a message. Most tickets have a few kilobytes, and a ticket can have some megabytes.
	maxMessageBytes = 64 << 20
)

// NewClient returns a client of the ticketsvc at url.
func NewClient(url string) ticketv1connect.TicketServiceClient {
	transport := &http.Transport{
		Protocols:       &http.Protocols{},
		Proxy:           http.ProxyFromEnvironment,
		HTTP2:           &http.HTTP2Config{SendPingTimeout: pingAfter},
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	// Streams need HTTP/2, also without TLS.
	transport.Protocols.SetHTTP2(true)
	transport.Protocols.SetUnencryptedHTTP2(true)
	return ticketv1connect.NewTicketServiceClient(&http.Client{Transport: transport}, url, connect.WithReadMaxBytes(maxMessageBytes))
}

// Follower keeps a local copy in sync with ticketsvc.
type Follower struct {
	// Client calls ticketsvc.
	Client ticketv1connect.TicketServiceClient
	// Token returns the bearer token to send. It is called for each stream. If it is nil, no token is sent.
	Token func() (string, error)
	// Silence is the maximum time without a message. A stream that is silent for longer is ended. A heartbeat comes every 15 s.
	Silence time.Duration
	// Copy is the local copy.
	Copy *Copy
	// Log receives a line for each change of a ticket and for each end of a stream.
	Log *slog.Logger
}

// Follow keeps the copy in sync. It returns nil when ctx ends, and an error if a retry does not help.
func (f *Follower) Follow(ctx context.Context) error {
	for failures := 0; ; failures++ {
		received, err := f.followOnce(ctx)
		if received {
			failures = 0
		}
		if ctx.Err() != nil {
			return nil //nolint:nilerr // The caller ended the stream.
		}
		if errors.Is(err, errCopy) {
			return err
		}
		delay := rand.N(min(maxBackoff, minBackoff<<min(failures, 10))) //nolint:gosec // It spreads retries, and is no secret.
		switch code := connect.CodeOf(err); {
		case code == connect.CodeInvalidArgument, code == connect.CodeUnimplemented:
			return fmt.Errorf("ticketsvc does not accept the request: %w", err)
		case code == connect.CodeOutOfRange:
			f.Log.Warn("ticketsvc can't resume from the token: starting again", "error", err)
			if err := f.Copy.StartAgain(ctx); err != nil {
				return err
			}
		case code == connect.CodeDeadlineExceeded:
			f.Log.Debug("resuming with a new stream", "delay", delay)
		case f.Token == nil && code == connect.CodeUnauthenticated:
			f.Log.Error("ticketsvc needs a token: set --token-file to a file with a token of the scope read", "error", err, "delay", delay)
		case f.Token != nil && (code == connect.CodeUnauthenticated || code == connect.CodePermissionDenied):
			f.Log.Error("ticketsvc refuses the token: use a token of the scope read", "error", err, "delay", delay)
		case errors.Is(err, errToken):
			f.Log.Error("no token to send", "error", err, "delay", delay)
		default:
			f.Log.Warn("the stream ended", "error", err, "delay", delay)
		}
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return nil
		}
	}
}

var (
	// errCopy is returned if the copy can't be read or written.
	errCopy = errors.New("the copy can't be read or written")
	// errToken is returned if there is no token to send.
	errToken = errors.New("the token can't be read")
)

// followOnce applies the messages of one stream until the stream ends. It reports whether there was a message, and returns the reason of
// the end.
func (f *Follower) followOnce(ctx context.Context) (received bool, err error) {
	token, err := f.Copy.Token(ctx)
	if err != nil {
		return false, fmt.Errorf("%w: %w", errCopy, err)
	}
	var bearer string
	if f.Token != nil {
		if bearer, err = f.Token(); err != nil {
			return false, fmt.Errorf("%w: %w", errToken, err)
		}
	}

	streaming, cancel := context.WithTimeout(ctx, maxStreamTime)
	defer cancel()
	streaming, end := context.WithCancelCause(streaming)
	defer end(nil)
	// Pings are not enough: a proxy answers them even if it can't reach ticketsvc.
	errSilent := fmt.Errorf("no message for %v", f.Silence)
	silence := time.AfterFunc(f.Silence, func() { end(errSilent) })
	defer silence.Stop()

	streaming, call := connect.NewClientContext(streaming)
	if bearer != "" {
		call.RequestHeader().Set("Authorization", "Bearer "+bearer)
	}
	stream, err := f.Client.WatchTickets(streaming, &ticketv1.WatchTicketsRequest{ResumeToken: token})
	if err != nil {
		return false, err
	}
	defer func() { _ = stream.Close() }()
	for stream.Receive() {
		silence.Reset(f.Silence)
		if err := f.Copy.Apply(ctx, stream.Msg()); err != nil {
			return received, fmt.Errorf("%w: %w", errCopy, err)
		}
		f.report(stream.Msg(), received)
		received = true
	}
	if errors.Is(context.Cause(streaming), errSilent) {
		return received, errSilent
	}
	return received, stream.Err()
}

// report logs the ticket that a message changes or removes. It does not log the tickets of the snapshot, because there can be a million.
func (f *Follower) report(message *ticketv1.WatchTicketsResponse, received bool) {
	if !received {
		f.Log.Info("following: changed tickets are logged from now on")
	}
	switch {
	case message.GetChange().GetEvent() != nil:
		ticket, event := message.GetChange().GetTicket(), message.GetChange().GetEvent()
		f.Log.Info("ticket changed", "ticket_id", ticket.GetTicketId(), "event", event.GetEventName(), "revision", ticket.GetRevision())
	case message.GetRemoved() != nil:
		f.Log.Info("ticket removed", "ticket_id", message.GetRemoved().GetTicketId(), "reason", message.GetRemoved().GetReason())
	}
}
