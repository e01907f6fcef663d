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
	ProfileDir string `placeholder:"PATH" help:"Write CPU profiles of the services here, from the first round; with replicas, of the first."`
}

// noiseCommand compares the bare handler to itself.
type noiseCommand struct{ settings }

// acceptScale is how much is measured. No part may take as long as the gateway's timestamp tolerance, two minutes.
type acceptScale struct {
	// warmup and duration are how long requests are sent, uncounted and counted.
	warmup, duration time.Duration
	// sustained is how long requests are sent to both services, before the wait until all are applied.
	sustained time.Duration
	// events is how many different requests are prepared, at 2 kB of memory each. A part ends early when they run out.
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

// acceptTargets are shares of the bare handler's rate. On PostgreSQL each commit also crosses to another process and back, so durable
// accept's targets are lower in the same proportion. Replicas on one machine take from one another, so accept to applied has none there.
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

// accept measures the way of an event, or, without a gateway, the bare handler against itself.
type accept struct {
	*bench
	acceptCommand
	acceptScale
	stock *stock
	round int
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
	a.sayf("preparing %d requests", a.events)
	a.stock = newStock(a.events, benchSecret)
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
		// Every other round has the opposite order, so that a machine that gets slower, or faster, favours none.
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
			a.sayf("round %d of %d: %v: %.0f/s, %.2f of bare %.0f/s", a.round+1, a.Rounds, p, rate, rate/bare, bare)
		}
	}
	return nil
}

// groups returns the parts that are measured one right after the other. The bare handler is between the engines, and so right beside each.
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

// measure returns the events a second of one part.
func (a *accept) measure(ctx context.Context, p part) (rate float64, err error) {
	s, err := a.newSystem(ctx, p.engine)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	load := load{connections: p.connections, stock: a.stock, warmup: a.warmup, duration: a.duration}
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
	used, profiled := a.usage(p, s.services), a.startProfiles(ctx, p, s.services, load.warmup+load.duration)
	result, err := load.run(ctx)
	if rate = result.rate(); err == nil && p.variant == variantSustained {
		err = s.waitApplied(ctx, result.answered)
		rate = float64(result.answered) / time.Since(result.started).Seconds()
	}
	if err := errors.Join(err, profiled()); err != nil {
		return 0, err
	}
	a.noteUsage(p, s.services, used, result.answered)
	return rate, nil
}

// start starts one replica of what a part measures, and returns the process that takes its requests.
//
// For durable accept ticketsvc does not run, so that forwarding, which would take its share of the machine, waits as it does in an outage.
// In the sustained part each gateway calls a ticketsvc of its own.
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

// startProfiles takes CPU profiles of the services, the first replica of each, in the coming time of the first round. It returns what waits
// until they are written.
func (a *accept) startProfiles(ctx context.Context, during part, services []*service, length time.Duration) (wait func() error) {
	var group errgroup.Group
	if a.ProfileDir != "" && a.round == 0 && during.engine != noEngine {
		for _, s := range services[:len(services)/during.replicas] {
			group.Go(func() error { return s.profile(ctx, a.ProfileDir, during, length) })
		}
	}
	return group.Wait
}
