package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ticketbridge/ticketbridge/internal/testkit/process"
)

type acceptCommand struct {
	settings
	postgresSetting
	Gateway    string `required:"" placeholder:"PATH" help:"The gateway's binary."`
	Ticketsvc  string `required:"" placeholder:"PATH" help:"The binary of ticketsvc."`
	ProfileDir string `placeholder:"PATH" help:"Write CPU profiles of each service's first replica to this folder, in the first round."`
}

// noiseCommand compares the bare handler to itself.
type noiseCommand struct{ settings }

// acceptScale is the amount of work. Each part must take less time than the gateway's timestamp tolerance, two minutes.
type acceptScale struct {
	// warmup and duration are the times for which requests are sent: first without counting answers, then with.
	warmup, duration time.Duration
	// sustained is the time for which requests are sent to both services, before the wait until all events are applied.
	sustained time.Duration
	// events is the number of different requests that are prepared, with 2 kB of memory each. A part that has sent all of them ends early.
	events int
}

var (
	fullAccept  = acceptScale{500 * time.Millisecond, 3 * time.Second, 6 * time.Second, 250_000}
	quickAccept = acceptScale{200 * time.Millisecond, time.Second, time.Second, 80_000}
)

const (
	fewConnections, manyConnections = 64, 256

	benchSecret      = "a secret for one benchmark"
	variantBare      = "bare"
	variantNoise     = "bare against itself"
	variantAccept    = "durable accept"
	variantSustained = "accept to applied, sustained"
)

// acceptTargets are shares of the bare handler's rate. On PostgreSQL each commit also takes a round trip to another process, so the targets
// of durable accept are lower by the same factor. Accept to applied has no target there, because replicas on one machine compete for it.
var acceptTargets = map[part]float64{
	{variantAccept, sqlite, 1, fewConnections}:      0.33,
	{variantAccept, sqlite, 1, manyConnections}:     0.40,
	{variantAccept, postgreSQL, 1, fewConnections}:  0.12,
	{variantAccept, postgreSQL, 1, manyConnections}: 0.15,
	{variantSustained, sqlite, 1, manyConnections}:  0.10,
}

func (c *noiseCommand) measure(ctx context.Context, b *bench) error {
	return newAccept(b, acceptCommand{settings: c.settings}).run(ctx)
}

func (c *acceptCommand) measure(ctx context.Context, b *bench) error {
	return newAccept(b, *c).run(ctx)
}

// accept measures the path of an event. Without a gateway it measures the bare handler against itself.
type accept struct {
	*bench
	acceptCommand
	acceptScale
	requests *requests
	round    int
}

func newAccept(b *bench, command acceptCommand) *accept {
	a := &accept{bench: b, acceptCommand: command, acceptScale: fullAccept}
	if command.Quick {
		a.Rounds, a.acceptScale = 1, quickAccept
	}
	return a
}

func (a *accept) run(ctx context.Context) error {
	if a.ProfileDir != "" {
		if err := os.MkdirAll(a.ProfileDir, 0o700); err != nil {
			return err
		}
	}
	a.logf("preparing %d requests", a.events)
	a.requests = newRequests(a.events, benchSecret)
	for a.round = range a.Rounds {
		if err := a.measureRound(ctx); err != nil {
			return fmt.Errorf("round %d: %w", a.round+1, err)
		}
	}
	return nil
}

func (a *accept) measureRound(ctx context.Context) (err error) {
	rates := map[part]float64{}
	for _, group := range a.groups() {
		inTurn := slices.Clone(group)
		// Every second round has the opposite order, so that a machine that gets slower or faster favours no part.
		if a.round%2 == 1 {
			slices.Reverse(inTurn)
		}
		for _, p := range inTurn {
			if rates[p], err = a.measure(ctx, p); err != nil {
				return err
			}
		}
		for _, p := range group {
			if p.variant == variantBare {
				continue
			}
			rate, bare := rates[p], rates[part{variantBare, noEngine, 1, p.connections}]
			a.results.add(figure{part: p, unit: "/s", atLeast: acceptTargets[p]}, rate, bare)
			a.logf("round %d of %d: %v: %.0f/s, %.2f of bare %.0f/s", a.round+1, a.Rounds, p, rate, rate/bare, bare)
		}
	}
	return nil
}

// groups returns groups of parts. The parts of a group are measured one directly after the other. The bare handler comes between the
// engines, so it is measured next to each.
func (a *accept) groups() (groups [][]part) {
	for _, connections := range []int{fewConnections, manyConnections} {
		group := []part{{variantNoise, noEngine, 1, connections}}
		if a.Gateway != "" {
			group = nil
			for _, engine := range a.engines() {
				group = append(group, part{variantAccept, engine, 1, connections})
			}
		}
		groups = append(groups, slices.Insert(group, 1, part{variantBare, noEngine, 1, connections}))
	}
	if a.Gateway == "" {
		return groups
	}
	sustained := []part{{variantSustained, sqlite, 1, manyConnections}}
	for _, n := range []int{1, 2, 4} {
		if a.postgres != nil {
			sustained = append(sustained, part{variantSustained, postgreSQL, n, manyConnections})
		}
	}
	return append(groups, sustained)
}

// measure returns the number of events a second of one part.
func (a *accept) measure(ctx context.Context, p part) (rate float64, err error) {
	s, err := a.newSystem(ctx, p.engine)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	load := load{connections: p.connections, requests: a.requests, warmup: a.warmup, duration: a.duration}
	if p.variant == variantSustained {
		load.warmup, load.duration = 0, a.sustained
	}
	for range p.replicas {
		entry, err := a.start(ctx, s, p)
		if err != nil {
			return 0, err
		}
		load.addresses = append(load.addresses, entry.address)
	}
	a.requests.setTimestamps(time.Now())
	used, profiled := a.usage(p, s.services), a.startProfiles(ctx, p, s.services, load.warmup+load.duration)
	result, err := load.run(ctx)
	if rate = result.rate(); err == nil && p.variant == variantSustained {
		err = s.waitApplied(ctx, result.answered)
		rate = float64(result.answered) / time.Since(result.started).Seconds()
	}
	if err := errors.Join(err, profiled()); err != nil {
		return 0, err
	}
	a.recordUsage(p, s.services, used, result.answered)
	return rate, nil
}

// start starts one replica of the services that a part measures, and returns the process that receives the requests.
//
// For durable accept ticketsvc does not run. Forwarding would need a share of the machine. Without ticketsvc it waits, as in an outage. In
// the sustained part each gateway calls its own ticketsvc.
func (a *accept) start(ctx context.Context, s *system, p part) (*service, error) {
	if p.engine == noEngine {
		return a.startBare(ctx, s)
	}
	forwardTo, err := process.FreeAddress()
	if err != nil {
		return nil, err
	}
	if p.variant == variantSustained {
		ticketsvc, err := a.startTicketsvc(ctx, s, a.Ticketsvc)
		if err != nil {
			return nil, err
		}
		forwardTo = ticketsvc.address
	}
	return a.startGateway(ctx, s, a.Gateway, forwardTo)
}

// startProfiles starts CPU profiles of the first replica of each service, in the first round. length is the duration of the profiles. wait
// returns after they are written.
func (a *accept) startProfiles(ctx context.Context, during part, services []*service, length time.Duration) (wait func() error) {
	var group errgroup.Group
	if a.ProfileDir != "" && a.round == 0 && during.engine != noEngine {
		for _, s := range services[:len(services)/during.replicas] {
			group.Go(func() error { return s.profile(ctx, a.ProfileDir, during, length) })
		}
	}
	return group.Wait
}
