package forwarder

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/internal/elements"
	"github.com/ticketbridge/ticketbridge/internal/logthrottle"
)

// ReconcilerInbox is what the reconciler needs of the inbox.
type ReconcilerInbox interface {
	LogPositions(ctx context.Context, limit int) (inbox.LogPositions, error)
	ChangePositions(ctx context.Context, change inbox.PositionsChange) error
	ReplayStep(ctx context.Context, now time.Time, limit int) (inbox.Replay, error)
	NextDue(ctx context.Context) (time.Time, bool, error)
}

// ReconcilerClient is what the reconciler needs of ticketsvc.
type ReconcilerClient interface {
	CheckLogPositions(context.Context, *ticketv1.CheckLogPositionsRequest) (*ticketv1.CheckLogPositionsResponse, error)
}

// ErasureSyncer makes ticketsvc have every known erasure.
type ErasureSyncer interface {
	// SyncNow makes ticketsvc repeat the erasures that it lost with its database.
	SyncNow(ctx context.Context) error
}

const (
	// checkInterval is the time between two checks, and so about the maximum delay until a loss is noticed.
	checkInterval = time.Second
	// checkTimeout is the deadline of one check.
	checkTimeout = 5 * time.Second
	// maxUnchecked is the maximum number of unchecked positions of one call, which also has the newest checkpoint.
	maxUnchecked = elements.MaxLogPositions - 1
	// replayBatch is the maximum number of deliveries that one step of a replay makes pending. replayPause is the time between two steps, in
	// which others write to the inbox.
	replayBatch, replayPause = 500, 50 * time.Millisecond
	// maxReplayLag is how long a delivery may be due without delaying a replay. If one is due for longer, the replay waits. Otherwise a replay
	// would make deliveries pending faster than they are forwarded, and a delivery that is retried would wait for all of them.
	maxReplayLag = time.Second
	// reconcileWarnInterval is the minimum time between two logs of the same problem.
	reconcileWarnInterval = time.Minute
)

const lossDetected = "ticketsvc's log lost events that it had recorded: what was forwarded since is forwarded again (was its database " +
	"restored, did a standby take over without the last commits, or do two ticketsvcs have databases of their own?)"

const clockSetBack = "the gateway's clock is behind checkpoints of ticketsvc's log: more is forwarded again after a loss (was it set " +
	"back, or do the clocks of several gateways differ by more than a minute?)"

// Reconciler compares the forwarded deliveries of the inbox with ticketsvc's log, and replays what the log lost: its database was restored
// from a backup, or a standby took over without the last commits. [NewReconciler] makes one.
//
// Each answer for an event has a position of ticketsvc's log, which the inbox keeps with the delivery's outcome. The reconciler looks up
// these positions in the log. If all are there, a checkpoint replaces them. If one is missing, everything is replayed that was forwarded
// since the newest checkpoint that is there. The rules are in the package inbox.
type Reconciler struct {
	inbox    ReconcilerInbox
	client   ReconcilerClient
	erasures ErasureSyncer
	now      func() time.Time
	log      *slog.Logger
	warnings *logthrottle.PerKey[string]
}

// NewReconciler returns a reconciler of the inbox and the ticketsvc of client. [Reconciler.Run] starts it. It uses only the clock and the
// log of the options.
func NewReconciler(of ReconcilerInbox, client ReconcilerClient, erasures ErasureSyncer, options Options) *Reconciler {
	return &Reconciler{inbox: of, client: client, erasures: erasures, now: options.Now, log: options.Log,
		warnings: logthrottle.NewPerKey[string](reconcileWarnInterval)}
}

// Run checks until ctx ends.
func (r *Reconciler) Run(ctx context.Context) {
	for ctx.Err() == nil {
		round, end := context.WithTimeout(ctx, checkInterval)
		if replaying := r.check(ctx); replaying {
			r.replay(ctx, round)
		}
		<-round.Done()
		end()
	}
}

// check looks up all positions in ticketsvc's log, and reports whether there is something to replay.
func (r *Reconciler) check(ctx context.Context) (replaying bool) {
	for more := true; more && ctx.Err() == nil; {
		replaying, more = r.checkOldest(ctx)
	}
	return replaying
}

// checkOldest looks up the newest checkpoint and the oldest positions in ticketsvc's log, as many as one call accepts. replaying reports
// whether there is something to replay. more reports whether checkOldest must be called again: the log held all of these positions and more
// are unchecked, or the clock was set back.
func (r *Reconciler) checkOldest(ctx context.Context) (replaying, more bool) {
	asked := r.now()
	known, err := r.inbox.LogPositions(ctx, maxUnchecked)
	if err != nil {
		r.warn(ctx, "positions of ticketsvc's log can't be read from the inbox", err)
		return false, false
	}
	if change, ok := known.ClockSetBack(asked); ok {
		if count, ok := r.warnings.Allow(clockSetBack, asked); ok {
			r.log.WarnContext(ctx, clockSetBack, "count", count)
		}
		return known.Replaying, r.change(ctx, change)
	}
	positions := make([]inbox.LogPosition, 0, maxUnchecked+1)
	if len(known.Checkpoints) > 0 {
		positions = append(positions, known.Checkpoints[0].Position)
	}
	for _, u := range known.Unchecked {
		positions = append(positions, u.Position)
	}
	if len(positions) == 0 {
		// Nothing was forwarded yet, or only to a ticketsvc that returns no positions.
		return known.Replaying, false
	}
	full := len(known.Unchecked) == maxUnchecked
	last, missing, err := r.ask(ctx, positions)
	if err != nil {
		r.logFailure(ctx, err)
		if full {
			r.change(ctx, known.Thinned())
		}
		return known.Replaying, false
	}
	switch {
	case len(missing) > 0:
		return r.startReplay(ctx, known, last, missing) || known.Replaying, false
	case len(known.Unchecked) > 0:
		more = r.change(ctx, known.Checked(known.NextCheckpoint(last, asked, !full), asked)) && full
	}
	return known.Replaying, more
}

// startReplay starts a replay of everything that ticketsvc's log may lack, because it lacks some positions. It reports whether a replay
// begins.
func (r *Reconciler) startReplay(ctx context.Context, known inbox.LogPositions, last inbox.LogPosition, missing []inbox.LogPosition) bool {
	checkpoints := make([]inbox.LogPosition, len(known.Checkpoints))
	for i, c := range known.Checkpoints {
		checkpoints[i] = c.Position
	}
	_, gone, err := r.ask(ctx, checkpoints)
	if err != nil {
		r.logFailure(ctx, err)
		return false
	}
	change := known.Diverged(gone)
	if !r.change(ctx, change) {
		return false
	}
	// Two ticketsvcs with separate databases that answer in turn would log a loss with each answer.
	count, ok := r.warnings.Allow(lossDetected, r.now())
	if !ok {
		return true
	}
	newest := slices.MaxFunc(missing, func(a, b inbox.LogPosition) int { return cmp.Compare(a.Sequence, b.Sequence) })
	since := "the beginning"
	if !change.ReplaySince.IsZero() {
		since = change.ReplaySince.UTC().Format(time.RFC3339)
	}
	r.log.ErrorContext(ctx, lossDetected, "count", count, "lost_sequence", newest.Sequence, "last_sequence", last.Sequence,
		"other_database", newest.DatabaseID != last.DatabaseID, "since", since)
	return true
}

// replay takes steps of the replay until it is over or round ends. Erasures are repeated first: events of an erased ticket were dropped,
// but would be recorded if the restored database has the ticket again.
func (r *Reconciler) replay(ctx, round context.Context) {
	if err := r.erasures.SyncNow(ctx); err != nil {
		r.warn(ctx, "ticketsvc can't repeat erasures yet: what its log lost is forwarded again afterwards", err)
		return
	}
	pause := time.NewTicker(replayPause)
	defer pause.Stop()
	for {
		replay, err := r.replayStep(ctx)
		if err != nil {
			r.warn(ctx, "deliveries can't be made pending again yet", err)
			return
		}
		if replay.Ended {
			r.log.ErrorContext(ctx, "everything that ticketsvc's log may have lost is pending again, except deliveries whose body is gone",
				"count", replay.Requeued, "without_body", replay.WithoutBody)
		}
		if replay.Done {
			return
		}
		select {
		case <-pause.C:
		case <-round.Done():
			return
		}
	}
}

// replayStep takes a step of the replay, if no delivery is due for longer than [maxReplayLag].
func (r *Reconciler) replayStep(ctx context.Context) (inbox.Replay, error) {
	now := r.now()
	due, pending, err := r.inbox.NextDue(ctx)
	if err != nil || pending && now.Sub(due) > maxReplayLag {
		return inbox.Replay{}, err
	}
	return r.inbox.ReplayStep(ctx, now, replayBatch)
}

// ask returns the last position of ticketsvc's log, and those of the positions that the log does not hold.
func (r *Reconciler) ask(ctx context.Context, positions []inbox.LogPosition) (last inbox.LogPosition, missing []inbox.LogPosition,
	err error) {
	request := &ticketv1.CheckLogPositionsRequest{Positions: make([]*ticketv1.LogPosition, len(positions))}
	for i, p := range positions {
		request.Positions[i] = &ticketv1.LogPosition{DatabaseId: []byte(p.DatabaseID), Sequence: p.Sequence, Fingerprint: p.Fingerprint}
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	response, err := r.client.CheckLogPositions(ctx, request)
	if err != nil {
		return last, nil, err
	}
	for _, p := range response.GetMissing() {
		missing = append(missing, fromPosition(p))
	}
	return fromPosition(response.GetLast()), missing, nil
}

// change changes what the inbox knows about ticketsvc's log, and reports whether that succeeded.
func (r *Reconciler) change(ctx context.Context, change inbox.PositionsChange) bool {
	err := r.inbox.ChangePositions(ctx, change)
	if err != nil {
		r.warn(ctx, "positions of ticketsvc's log can't be written to the inbox", err)
	}
	return err == nil
}

// logFailure logs why ticketsvc could not be asked. If ticketsvc can't be reached, the forwarder logs that.
func (r *Reconciler) logFailure(ctx context.Context, err error) {
	switch classify(err) {
	case unreachable, deferred:
	default:
		r.warn(ctx, "ticketsvc can't be asked whether its log holds all that was forwarded "+
			"(is it as new as the gateway, and is the token of the scope ingest?)", err)
	}
}

func (r *Reconciler) warn(ctx context.Context, message string, err error) {
	if ctx.Err() != nil {
		return
	}
	if _, ok := r.warnings.Allow(message, r.now()); ok {
		r.log.WarnContext(ctx, message, "error", err)
	}
}

func fromPosition(p *ticketv1.LogPosition) inbox.LogPosition {
	return inbox.LogPosition{DatabaseID: string(p.GetDatabaseId()), Sequence: p.GetSequence(), Fingerprint: p.GetFingerprint()}
}
