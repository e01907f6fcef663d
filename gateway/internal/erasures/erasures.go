// Package erasures stores which tickets ticketsvc erased, and repeats the erasures that ticketsvc lost: its database was restored from a
// backup, or a standby took over without the last commits. docs/erasure.md has the reasons.
package erasures

import (
	"context"
	"encoding/base64"
	"log/slog"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/internal/elements"
	"github.com/ticketbridge/ticketbridge/internal/logthrottle"
)

const (
	// interval is the average time between two reads of ticketsvc's erasures. It varies by a quarter. It is also how long a ticket can be back
	// after a restore. An erasure that ticketsvc loses before the gateway has read it is not repeated.
	interval = 5 * time.Second
	// refusedInterval is the time between two tries to repeat erasures that ticketsvc refuses.
	refusedInterval = time.Minute
	// warnInterval is the minimum time between two logs of failed calls.
	warnInterval = time.Minute
	// callTimeout is the deadline of one call. Erasing a page of tickets can take seconds if ticketsvc's database is SQLite.
	callTimeout = 30 * time.Second
)

// Client is the part of ticketsvc's API that a follower needs.
type Client interface {
	ListErasures(context.Context, *ticketv1.ListErasuresRequest) (*ticketv1.ListErasuresResponse, error)
	RepeatErasures(context.Context, *ticketv1.RepeatErasuresRequest) (*ticketv1.RepeatErasuresResponse, error)
}

// Options are a follower's sources of time and randomness, and its log.
type Options struct {
	// Now is the clock.
	Now func() time.Time
	// Random returns a random number in [0, 1).
	Random func() float64
	// Log is the log for operators.
	Log *slog.Logger
}

// Follower follows ticketsvc's erasures. [New] makes one.
type Follower struct {
	store    inbox.ErasureStore
	client   Client
	options  Options
	warnings *logthrottle.Throttle
	// syncing is held during a sync, so that there is one at a time. It guards completeIn, refusedIn and retryAt.
	syncing sync.Mutex
	// loggedUnimplemented is set after it was logged that ticketsvc does not list erasures.
	loggedUnimplemented bool
	// completeIn is the generation in which all known erasures were repeated. No erasure becomes missing within a generation.
	completeIn int64
	// refusedIn is the generation in which ticketsvc refused some erasures. retryAt is when these are retried.
	refusedIn int64
	retryAt   time.Time
}

// New returns a follower that keeps the erasures of ticketsvc in store. [Follower.Run] starts it.
func New(store inbox.ErasureStore, client Client, options Options) *Follower {
	return &Follower{store: store, client: client, options: options, warnings: logthrottle.New(warnInterval)}
}

// Run syncs at once, and then at intervals, until ctx ends.
func (f *Follower) Run(ctx context.Context) {
	for {
		f.logError(ctx, f.sync(ctx))
		timer := time.NewTimer(time.Duration((0.75 + 0.5*f.options.Random()) * float64(interval)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// logError logs the error of a sync.
func (f *Follower) logError(ctx context.Context, err error) {
	switch {
	case err == nil, ctx.Err() != nil:
	case connect.CodeOf(err) == connect.CodeUnavailable, connect.CodeOf(err) == connect.CodeDeadlineExceeded:
		// If ticketsvc can't be reached, the forwarder logs that.
	case connect.CodeOf(err) == connect.CodeUnimplemented:
		// ticketsvc can be upgraded at any time, so the follower continues.
		if !f.loggedUnimplemented {
			f.loggedUnimplemented = true
			f.options.Log.Warn("ticketsvc is of an older version: erasures that its database loses with a restore are not repeated")
		}
	default:
		if count, ok := f.warnings.Allow(f.options.Now()); ok {
			f.options.Log.Warn("ticketsvc's erasures can't be listed, kept or repeated: the gateway retries", "code", connect.CodeOf(err),
				"error", err, "count", count)
		}
	}
}

// SyncNow syncs at once. After it returns nil, ticketsvc has every known erasure, except those that it refuses. If ticketsvc is too old for
// erasures, SyncNow returns nil too.
func (f *Follower) SyncNow(ctx context.Context) error {
	err := f.sync(ctx)
	if connect.CodeOf(err) == connect.CodeUnimplemented {
		return nil
	}
	return err
}

// sync reads the new erasures, and repeats those that ticketsvc lacks.
func (f *Follower) sync(ctx context.Context) error {
	f.syncing.Lock()
	defer f.syncing.Unlock()
	generation, err := f.pull(ctx)
	if err != nil || generation == f.completeIn || generation == f.refusedIn && f.options.Now().Before(f.retryAt) {
		return err
	}
	repeated, refused, err := f.repeatMissing(ctx, generation)
	if repeated > 0 {
		f.options.Log.Warn("ticketsvc lacked erasures, because its database was restored or failed over: they are repeated",
			"count", repeated)
	}
	switch {
	case err != nil:
		return err
	case refused > 0:
		f.refusedIn, f.retryAt = generation, f.options.Now().Add(refusedInterval)
		f.options.Log.Error("ticketsvc lacks erasures and refuses to repeat them, because its database was made anew:"+
			" import them with ticketsvc erasures import, as docs/erasure.md says", "count", refused)
		return nil
	default:
		f.completeIn = generation
		// So that the repeated erasures are known to be listed, even after a restart.
		_, err = f.pull(ctx)
		return err
	}
}

// pull reads and stores all erasures after the cursor. If ticketsvc's log does not hold the cursor's position, pull restarts the cursor,
// which begins a new generation, and reads all erasures from the beginning. It returns the generation of the cursor after that.
func (f *Follower) pull(ctx context.Context) (generation int64, err error) {
	for {
		cursor, err := f.store.ErasureCursor(ctx)
		if err != nil {
			return 0, err
		}
		position, err := decodePosition(cursor.Position)
		if err != nil {
			return 0, err
		}
		page, err := f.list(ctx, position)
		switch {
		case connect.CodeOf(err) == connect.CodeOutOfRange && position != nil:
			f.options.Log.Warn("ticketsvc does not hold the last erasure any more: its database was restored, failed over or replaced")
			err = f.store.RestartErasures(ctx, cursor)
		case err != nil:
		case len(page.GetErasures()) == 0:
			return cursor.Generation, nil
		default:
			erasures := make([]inbox.Erasure, len(page.GetErasures()))
			for i, e := range page.GetErasures() {
				erasures[i] = inbox.Erasure{TicketID: e.GetTicketId(), Receipt: e.GetReceipt()}
			}
			var next string
			if next, err = encodePosition(page.GetPosition()); err == nil {
				err = f.store.AddErasures(ctx, cursor, erasures, next)
			}
		}
		if err != nil {
			return 0, err
		}
	}
}

func (f *Follower) list(ctx context.Context, position *ticketv1.LogPosition) (*ticketv1.ListErasuresResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return f.client.ListErasures(ctx, &ticketv1.ListErasuresRequest{Position: position})
}

// encodePosition returns a position in the form in which the inbox keeps it.
func encodePosition(position *ticketv1.LogPosition) (string, error) {
	content, err := proto.Marshal(position)
	return base64.StdEncoding.EncodeToString(content), err
}

// decodePosition is the inverse of encodePosition. The position is nil for an empty string, which is the beginning.
func decodePosition(text string) (*ticketv1.LogPosition, error) {
	if text == "" {
		return nil, nil
	}
	content, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	position := &ticketv1.LogPosition{}
	return position, proto.Unmarshal(content, position)
}

// repeatMissing repeats the erasures that ticketsvc did not list in a generation. It returns the numbers of repeated and refused ones.
func (f *Follower) repeatMissing(ctx context.Context, generation int64) (repeated, refused int, err error) {
	for after := ""; ; {
		missing, err := f.store.MissingErasures(ctx, generation, after, elements.MaxErasures)
		if err != nil || len(missing) == 0 {
			return repeated, refused, err
		}
		response, err := f.repeat(ctx, missing)
		if err != nil {
			return repeated, refused, err
		}
		refused += len(response.GetRefusedTicketIds())
		repeated += len(missing) - len(response.GetRefusedTicketIds())
		after = missing[len(missing)-1].TicketID
	}
}

func (f *Follower) repeat(ctx context.Context, erasures []inbox.Erasure) (*ticketv1.RepeatErasuresResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	request := &ticketv1.RepeatErasuresRequest{Erasures: make([]*ticketv1.Erasure, len(erasures))}
	for i, e := range erasures {
		request.Erasures[i] = &ticketv1.Erasure{TicketId: e.TicketID, Receipt: e.Receipt}
	}
	return f.client.RepeatErasures(ctx, request)
}
