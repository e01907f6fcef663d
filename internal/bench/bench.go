// Package bench measures how fast the services are, as ratios to a bare HTTP handler that takes the same requests, in the same minute,
// on the same machine. Absolute rates say more about the machine than about the code.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ticketbridge/ticketbridge/internal/process"
)

// Options says what is measured, and for how long.
type Options struct {
	// Gateway and Ticketsvc are the paths of the binaries. Without Gateway the bare handler is measured against itself: how far the
	// ratios are from 1 is what this machine's noise does to all others.
	Gateway, Ticketsvc string
	// Bare starts a process that calls [ServeBare] with the address and the secret that it gets as its last two arguments.
	Bare process.Command
	// Dir gets a folder for each round, with databases and logs, removed after it. It decides which disk is measured.
	Dir string
	// Rounds is how often everything is measured. Each round measures the bare handler right beside what is compared to it.
	Rounds int
	// Warmup and Duration are for how long requests are sent, uncounted and counted. Together less than the gateway's timestamp
	// tolerance of two minutes.
	Warmup, Duration time.Duration
	// Sustained is for how long requests are sent with ticketsvc running, before the wait until all are applied.
	Sustained time.Duration
	// Events is how many different requests are prepared, at about 2 kB of memory each. A part ends early when they run out.
	Events int
	// ProfileDir gets CPU profiles of the services from the first round. Empty takes none.
	ProfileDir string
	// Progress gets a line for each part. It may be [io.Discard].
	Progress io.Writer
}

// Targets, as shares of the bare handler's rate.
const (
	doorTarget64     = 0.33
	doorTarget256    = 0.40
	sustainedTarget  = 0.10
	fewConnections   = 64
	manyConnections  = 256
	benchSecret      = "a secret for one benchmark"
	benchSeed        = 1
	startTimeout     = 30 * time.Second
	stopTimeout      = 30 * time.Second
	variantDoor      = "durable accept"
	variantSustained = "accept to applied, sustained"
	variantNoise     = "bare against itself"
)

// Run measures. It stops every process that it started and removes every folder that it made before it returns, also when ctx ends.
func Run(ctx context.Context, options Options) (Report, error) {
	if err := os.MkdirAll(options.Dir, 0o700); err != nil {
		return Report{}, err
	}
	if options.ProfileDir != "" {
		if err := os.MkdirAll(options.ProfileDir, 0o700); err != nil {
			return Report{}, err
		}
	}
	machine, err := describeMachine(options.Dir)
	if err != nil {
		return Report{}, fmt.Errorf("measuring the disk: %w", err)
	}
	b := &bench{options: options, report: Report{Machine: machine}}
	b.sayf("preparing %d requests", options.Events)
	b.stock = NewStock(options.Events, benchSeed, benchSecret)
	b.report.Requests, b.report.RequestBytes = b.stock.Len(), b.stock.Bytes()
	for round := range options.Rounds {
		b.round = round
		if err := b.measureRound(ctx); err != nil {
			return b.report, fmt.Errorf("round %d: %w", round+1, err)
		}
	}
	return b.report, nil
}

type bench struct {
	options Options
	stock   *Stock
	round   int
	report  Report
}

func (b *bench) sayf(format string, values ...any) {
	_, _ = fmt.Fprintf(b.options.Progress, format+"\n", values...)
}

func (b *bench) measureRound(ctx context.Context) error {
	var bare float64
	for _, door := range []struct {
		connections int
		target      float64
	}{{fewConnections, doorTarget64}, {manyConnections, doorTarget256}} {
		variant, target, candidate := variantDoor, door.target, b.measureDoor
		if b.options.Gateway == "" {
			variant, target, candidate = variantNoise, 0, b.measureBare
		}
		var rate float64
		steps := []func() error{
			func() (err error) { bare, err = b.measureBare(ctx, door.connections); return err },
			func() (err error) { rate, err = candidate(ctx, door.connections); return err },
		}
		// Every other round has the opposite order, so that a machine that gets slower, or faster, favours neither.
		if b.round%2 == 1 {
			slices.Reverse(steps)
		}
		for _, step := range steps {
			if err := step(); err != nil {
				return err
			}
		}
		b.compare(variant, door.connections, target, bare, rate)
	}
	if b.options.Gateway == "" {
		return nil
	}
	rate, err := b.measureSustained(ctx)
	if err != nil {
		return err
	}
	b.compare(variantSustained, manyConnections, sustainedTarget, bare, rate)
	return nil
}

func (b *bench) compare(variant string, connections int, target, bare, rate float64) {
	b.report.add(variant, connections, target, bare, rate)
	b.sayf("round %d of %d: %s at %d connections: %.0f/s, %.2f of bare %.0f/s",
		b.round+1, b.options.Rounds, variant, connections, rate, rate/bare, bare)
}

// load is the timed part that is common to all variants.
func (b *bench) load(address string, connections int) Load {
	return Load{
		Address: address, Connections: connections, Stock: b.stock, Warmup: b.options.Warmup, Duration: b.options.Duration,
	}
}

func (b *bench) measureBare(ctx context.Context, connections int) (rate float64, err error) {
	err = b.inFolder(func(folder string) error {
		bare, err := bareService(b.options.Bare, folder)
		if err != nil {
			return err
		}
		return b.measure(ctx, fmt.Sprintf("bare, %d connections", connections), []service{bare}, 0, func() (int, error) {
			result, err := b.load(bare.address, connections).Run(ctx)
			rate = result.Rate()
			return result.Answered, err
		})
	})
	return rate, err
}

// measureDoor measures the gateway alone. ticketsvc does not run, so that forwarding, which would take its share of the machine, waits
// as it does in an outage.
func (b *bench) measureDoor(ctx context.Context, connections int) (rate float64, err error) {
	err = b.inFolder(func(folder string) error {
		nobody, err := process.FreeAddress()
		if err != nil {
			return err
		}
		gateway, err := gatewayService(b.options.Gateway, folder, nobody)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("%s, %d connections", variantDoor, connections)
		return b.measure(ctx, name, []service{gateway}, b.options.Warmup+b.options.Duration, func() (int, error) {
			result, err := b.load(gateway.address, connections).Run(ctx)
			rate = result.Rate()
			return result.Answered, err
		})
	})
	return rate, err
}

// measureSustained measures the whole way, from the first request to the last event applied.
func (b *bench) measureSustained(ctx context.Context) (rate float64, err error) {
	err = b.inFolder(func(folder string) error {
		ticketsvc, err := ticketsvcService(b.options.Ticketsvc, folder)
		if err != nil {
			return err
		}
		gateway, err := gatewayService(b.options.Gateway, folder, ticketsvc.address)
		if err != nil {
			return err
		}
		return b.measure(ctx, variantSustained, []service{ticketsvc, gateway}, b.options.Sustained, func() (int, error) {
			load := b.load(gateway.address, manyConnections)
			load.Warmup, load.Duration = 0, b.options.Sustained
			result, err := load.Run(ctx)
			if err != nil {
				return 0, err
			}
			if err := waitApplied(ctx, ticketsvc.database, result.Answered); err != nil {
				return 0, err
			}
			rate = float64(result.Answered) / time.Since(result.Started).Seconds()
			return result.Answered, nil
		})
	})
	return rate, err
}

// inFolder calls f with a new folder, and removes that afterwards.
func (b *bench) inFolder(f func(folder string) error) error {
	folder, err := os.MkdirTemp(b.options.Dir, "bench-")
	if err != nil {
		return err
	}
	// The services resolve the path from a folder of their own choice.
	absolute, err := filepath.Abs(folder)
	if err == nil {
		err = f(absolute)
	}
	return errors.Join(err, os.RemoveAll(folder))
}

// measure starts the services in order, calls timed, which returns how many events there were, notes what each process used, and stops
// them in the opposite order. Profiles, if wanted, are taken for the time that is given; 0 takes none.
func (b *bench) measure(ctx context.Context, during string, services []service, profile time.Duration, timed func() (int, error)) (err error) {
	if err := b.stock.Stamp(time.Now()); err != nil {
		return err
	}
	// This process makes the requests, and what that costs belongs into the picture.
	meters := []meter{newMeter(during, "load generator", os.Getpid())}
	for _, s := range services {
		starting, cancel := context.WithTimeout(ctx, startTimeout)
		p, err := process.Start(starting, s.command)
		cancel()
		if err != nil {
			return err
		}
		defer func() {
			if stopErr := stop(p); err == nil {
				err = stopErr
			}
		}()
		meters = append(meters, newMeter(during, s.name, p.PID()))
	}
	wait := func() error { return nil }
	if b.options.ProfileDir != "" && b.round == 0 && profile > 0 {
		wait = startProfiles(ctx, b.options.ProfileDir, during, services, profile)
	}
	events, err := timed()
	if err := errors.Join(err, wait()); err != nil {
		return err
	}
	for _, m := range meters {
		if err := b.report.addUse(m, events); err != nil {
			return err
		}
	}
	return nil
}

// stop ends a process, whatever became of the context that it was started with.
func stop(p *process.Process) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	return p.Stop(ctx)
}
