package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/ticketbridge/ticketbridge/internal/testkit/process"
)

// compareCommand measures durable accept of two gateways in turns of a second. The speed of a machine drifts by more than most changes
// cost. Two turns that follow each other share the drift, so the median of their ratios shows a change of one or two percent.
type compareCommand struct {
	settings
	postgresSetting
	Gateway string `required:"" placeholder:"PATH" help:"The gateway's binary."`
	Base    string `required:"" placeholder:"PATH" help:"The binary of the gateway to compare with."`
}

// pairsOfTurns is the number of times that each gateway of a round has its turn. The prepared requests are enough for 28,000 a second.
const pairsOfTurns = 8

func (c *compareCommand) measure(ctx context.Context, b *bench) error {
	turn, events := load{warmup: 100 * time.Millisecond, duration: time.Second}, fullAccept.events
	if c.Quick {
		c.Rounds, turn.warmup, turn.duration, events = 1, 20*time.Millisecond, 100*time.Millisecond, quickAccept.events
	}
	b.logf("preparing %d requests", events)
	turn.requests = newRequests(events, benchSecret)
	for _, engine := range b.engines() {
		for _, turn.connections = range []int{fewConnections, manyConnections} {
			p := part{variantAccept, engine, 1, turn.connections}
			var rates, costs []float64
			for round := range c.Rounds {
				r, err := c.round(ctx, b, p, turn)
				if err != nil {
					return err
				}
				rates, costs = append(rates, r.rates...), append(costs, r.costs...)
				b.logf("round %d of %d: %v: rate %s, CPU an event %s", round+1, c.Rounds, p, change(rates), change(costs))
			}
		}
	}
	return nil
}

// ratios are those of the gateway to the base, one for each pair of turns: of accepted events a second, and of processor time an event.
type ratios struct{ rates, costs []float64 }

// round starts both gateways with new databases, and gives each its turns.
func (c *compareCommand) round(ctx context.Context, b *bench, p part, turn load) (r ratios, err error) {
	gateways := make([]*service, 2)
	for i, binary := range []string{c.Gateway, c.Base} {
		s, err := b.newSystem(ctx, p.engine)
		if err != nil {
			return r, err
		}
		defer func() { err = errors.Join(err, s.close()) }()
		nobody, err := process.FreeAddress()
		if err != nil {
			return r, err
		}
		if gateways[i], err = b.startGateway(ctx, s, binary, nobody); err != nil {
			return r, err
		}
	}
	turn.requests.setTimestamps(time.Now())
	unsent := [][][]byte{turn.requests.rendered, turn.requests.rendered}
	for pair := range pairsOfTurns {
		var rate, cost [2]float64
		for n := range gateways {
			// The first turn of a pair alternates.
			i := (pair + n) % 2
			turn.addresses, turn.requests = []string{gateways[i].address}, &requests{unsent[i]}
			if rate[i], cost[i], err = take(ctx, turn, gateways[i], &unsent[i]); err != nil {
				return r, err
			}
		}
		r.rates, r.costs = append(r.rates, rate[0]/rate[1]), append(r.costs, cost[0]/cost[1])
	}
	return r, nil
}

// take has a gateway accept requests for a turn. It returns the accepted events a second and the processor time an event.
func take(ctx context.Context, turn load, gateway *service, unsent *[][]byte) (rate, cost float64, err error) {
	before, err := process.ReadUsage(gateway.PID())
	if err != nil {
		return 0, 0, err
	}
	result, err := turn.run(ctx)
	if err != nil {
		return 0, 0, err
	}
	after, err := process.ReadUsage(gateway.PID())
	*unsent = (*unsent)[result.answered:]
	return result.rate(), (after.CPU - before.CPU).Seconds() / float64(result.answered), err
}

// change returns the median of ratios as a change in percent, with the half width of its interval of 95 %. The interval follows from the
// spread of the middle half, which single turns that the machine disturbed do not widen.
func change(ratios []float64) string {
	sorted := slices.Sorted(slices.Values(ratios))
	quantile := func(q float64) float64 { return sorted[int(q*float64(len(sorted)-1))] }
	// For normal errors, the middle half is 1.349 standard deviations wide, and a median's standard error is 1.253 times that of a mean.
	half := 1.96 * 1.253 / 1.349 * (quantile(0.75) - quantile(0.25)) / math.Sqrt(float64(len(sorted)))
	return fmt.Sprintf("%+.1f ± %.1f %%", 100*(median(ratios)-1), 100*half)
}
