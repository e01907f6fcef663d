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

// NewClient returns a client of the ticketsvc at url.
func NewClient(url string) ticketv1connect.TicketServiceClient {
	transport := &http.Transport{
		Protocols:       &http.Protocols{},
		Proxy:           http.ProxyFromEnvironment,
		HTTP2:           &http.HTTP2Config{SendPingTimeout: pingAfter},
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	// Streams want HTTP/2, in cleartext as well.
	transport.Protocols.SetHTTP2(true)
	transport.Protocols.SetUnencryptedHTTP2(true)
	return ticketv1connect.NewTicketServiceClient(&http.Client{Transport: transport}, url, connect.WithReadMaxBytes(maxMessageBytes))
}

// Follower keeps a local copy in sync with ticketsvc.
type Follower struct {
	// Client calls ticketsvc.
	Client ticketv1connect.TicketServiceClient
	// Token returns the bearer token to show. It is called for each stream. Without it none is shown.
	Token func() (string, error)
	// Silence is after what time without any message a stream is given up. A heartbeat comes every 15 s.
	Silence time.Duration
	// Copy is the local copy.
	Copy *Copy
	// Log receives a line when a ticket changes, and when a stream ends.
	Log *slog.Logger
}

// Follow keeps the copy in sync until ctx ends, which is no error, or something is wrong that does not pass.
func (f *Follower) Follow(ctx context.Context) error {
	for failures := 0; ; failures++ {
		came, err := f.followOnce(ctx)
		if came {
			failures = 0
		}
		if ctx.Err() != nil {
			return nil //nolint:nilerr // The caller ended the stream.
		}
		if errors.Is(err, errCopy) {
			return err
		}
		pause := rand.N(min(longestPause, firstPause<<min(failures, 10))) //nolint:gosec // It spreads retries, and is no secret.
		switch code := connect.CodeOf(err); {
		case code == connect.CodeInvalidArgument, code == connect.CodeUnimplemented:
			return fmt.Errorf("ticketsvc does not understand the call: %w", err)
		case code == connect.CodeOutOfRange:
			f.Log.Warn("the token can't be served any more: starting again", "error", err)
			if err := f.Copy.StartAgain(ctx); err != nil {
				return err
			}
		case code == connect.CodeDeadlineExceeded:
			f.Log.Debug("going on with another stream", "pause", pause)
		case f.Token == nil && code == connect.CodeUnauthenticated:
			f.Log.Error("ticketsvc wants a token: name a file with one of the scope read by --token-file", "error", err, "pause", pause)
		case f.Token != nil && (code == connect.CodeUnauthenticated || code == connect.CodePermissionDenied):
			f.Log.Error("ticketsvc refuses the token: give one of the scope read", "error", err, "pause", pause)
		case errors.Is(err, errToken):
			f.Log.Error("there is no token to show", "error", err, "pause", pause)
		default:
			f.Log.Warn("the stream ended", "error", err, "pause", pause)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
}

var (
	// errCopy says that the copy could not be read or written.
	errCopy = errors.New("the copy can't be kept")
	// errToken says that there is no token to show.
	errToken = errors.New("the token can't be read")
)

// followOnce takes in one stream. It tells whether anything came, and why the stream ended, which it always does some time.
func (f *Follower) followOnce(ctx context.Context) (came bool, err error) {
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

	streaming, cancel := context.WithTimeout(ctx, streamTime)
	defer cancel()
	streaming, giveUp := context.WithCancelCause(streaming)
	defer giveUp(nil)
	// A proxy answers pings, whether or not ticketsvc is behind it.
	silent := fmt.Errorf("nothing came for %v", f.Silence)
	silence := time.AfterFunc(f.Silence, func() { giveUp(silent) })
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
			return came, fmt.Errorf("%w: %w", errCopy, err)
		}
		f.report(stream.Msg(), came)
		came = true
	}
	if errors.Is(context.Cause(streaming), silent) {
		return came, silent
	}
	return came, stream.Err()
}

// report logs the ids in a message, except those of the snapshot: there can be a million.
func (f *Follower) report(message *ticketv1.WatchTicketsResponse, came bool) {
	if !came {
		f.Log.Info("following: the next lines name the tickets that change")
	}
	switch {
	case message.GetChange().GetEvent() != nil:
		ticket, event := message.GetChange().GetTicket(), message.GetChange().GetEvent()
		f.Log.Info("ticket changed", "ticket_id", ticket.GetTicketId(), "event", event.GetEventName(), "revision", ticket.GetRevision())
	case message.GetRemoved() != nil:
		f.Log.Info("ticket removed", "ticket_id", message.GetRemoved().GetTicketId(), "reason", message.GetRemoved().GetReason())
	}
}
