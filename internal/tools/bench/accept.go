// Package bench measures how fast the services are, as ratios to a bare HTTP handler that takes the same requests, in the same minute,
// on the same machine. Absolute rates say more about the machine than about the code.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ticketbridge/ticketbridge/internal/testkit/process"
)

// Options says what is measured, and for how long.
type Options struct {
	// Gateway and Ticketsvc are the paths of the binaries. Without Gateway the bare handler is measured against itself: how far the
	// ratios are from 1 is what this machine's noise does to all others.
	Gateway, Ticketsvc string
	// Bare starts a process that calls [ServeBare] with the address and the secret that it gets as its last two arguments.
	Bare process.Command
	// Postgres tells whether the services are measured on PostgreSQL as well, on a server that is started for it.
	Postgres bool
	// Dir gets a folder for each part, with databases and logs, and one for PostgreSQL. All are removed again. It decides which disk is
	// measured.
	Dir string
	// Rounds is how often everything is measured. Each round measures the bare handler right beside what is compared to it.
	Rounds int
	// Warmup and Duration are for how long requests are sent, uncounted and counted. Together less than the gateway's timestamp
	// tolerance of two minutes.
	Warmup, Duration time.Duration
	// Sustained is for how long requests are sent with ticketsvc running, before the wait until all are applied. SustainedPostgres is
	// the same on PostgreSQL, where each number of replicas takes that long.
	Sustained, SustainedPostgres time.Duration
	// Events is how many different requests are prepared, at about 2 kB of memory each. A part ends early when they run out.
	Events int
	// ProfileDir gets CPU profiles of the services from the first round. Empty takes none.
	ProfileDir string
	// Progress gets a line for each part. It may be [io.Discard].
	Progress io.Writer
}

// Targets, as shares of the bare handler's rate. A door's are for few connections and for many; on PostgreSQL, where each commit also
// crosses to another process and back, they are lower in the same proportion. What is sustained there has none: replicas on one machine
// take from one another, and show what it costs to be several.
var doorTargets = map[string]map[int]float64{
	SQLite:     {fewConnections: 0.33, manyConnections: 0.40},
	PostgreSQL: {fewConnections: 0.12, manyConnections: 0.15},
}

const sustainedTarget = 0.10

// replicas is how many there are of each service in the sustained parts on PostgreSQL.
var replicas = []int{1, 2, 4}

const (
	fewConnections   = 64
	manyConnections  = 256
	benchSecret      = "a secret for one benchmark"
	benchSeed        = 1
	startTimeout     = 30 * time.Second
	stopTimeout      = 30 * time.Second
	variantBare      = "bare"
	variantDoor      = "durable accept"
	variantSustained = "accept to applied, sustained"
	variantNoise     = "bare against itself"
)

// Run measures. It stops every process that it started and removes every folder that it made before it returns, also when ctx ends.
func Run(ctx context.Context, options Options) (_ Report, err error) {
	// Others may pass through, though not look: PostgreSQL can run as another account.
	if err := os.MkdirAll(options.Dir, 0o711); err != nil {
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
	if options.Postgres {
		if b.postgres, err = startPostgres(ctx, options.Dir); err != nil {
			return Report{}, err
		}
		defer func() { err = errors.Join(err, b.postgres.close()) }()
		b.report.Postgres = b.postgres.about
	}
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
	// postgres is nil when PostgreSQL is not measured.
	postgres *postgres
	stock    *Stock
	round    int
	report   Report
}

func (b *bench) sayf(format string, values ...any) {
	_, _ = fmt.Fprintf(b.options.Progress, format+"\n", values...)
}

// step measures one part, once.
type step struct {
	part   Part
	target float64
	// measure returns the events a second.
	measure func(context.Context, Part) (float64, error)
	rate    float64
}

func (s *step) run(ctx context.Context) (err error) {
	s.rate, err = s.measure(ctx, s.part)
	return err
}

func (b *bench) measureRound(ctx context.Context) error {
	var bare *step
	for _, connections := range []int{fewConnections, manyConnections} {
		bare = &step{part: Part{Variant: variantBare, Replicas: 1, Connections: connections}, measure: b.measureBare}
		doors := b.doors(connections)
		// Between the engines, and so right beside each.
		for _, s := range b.inTurn(slices.Concat(doors[:1], []*step{bare}, doors[1:])) {
			if err := s.run(ctx); err != nil {
				return err
			}
		}
		for _, door := range doors {
			b.compare(door, bare)
		}
	}
	for _, sustained := range b.inTurn(b.sustained()) {
		if err := sustained.run(ctx); err != nil {
			return err
		}
		b.compare(sustained, bare)
	}
	return nil
}

// inTurn returns the steps in the order of the round. Every other round has the opposite one, so that a machine that gets slower, or
// faster, favours none.
func (b *bench) inTurn(steps []*step) []*step {
	if b.round%2 == 1 {
		slices.Reverse(steps)
	}
	return steps
}

// engines returns what the services are measured on.
func (b *bench) engines() []string {
	if b.postgres == nil {
		return []string{SQLite}
	}
	return []string{SQLite, PostgreSQL}
}

// doors returns what is measured right beside the bare handler.
func (b *bench) doors(connections int) (doors []*step) {
	if b.options.Gateway == "" {
		return []*step{{part: Part{Variant: variantNoise, Replicas: 1, Connections: connections}, measure: b.measureBare}}
	}
	for _, engine := range b.engines() {
		doors = append(doors, &step{
			part:   Part{Variant: variantDoor, Engine: engine, Replicas: 1, Connections: connections},
			target: doorTargets[engine][connections], measure: b.measureDoor,
		})
	}
	return doors
}

// sustained returns what has ticketsvc running.
func (b *bench) sustained() (sustained []*step) {
	if b.options.Gateway == "" {
		return nil
	}
	add := func(engine string, replicas int, target float64) {
		part := Part{Variant: variantSustained, Engine: engine, Replicas: replicas, Connections: manyConnections}
		sustained = append(sustained, &step{part: part, target: target, measure: b.measureSustained})
	}
	add(SQLite, 1, sustainedTarget)
	if b.postgres != nil {
		for _, n := range replicas {
			add(PostgreSQL, n, 0)
		}
	}
	return sustained
}

func (b *bench) compare(s, bare *step) {
	b.report.add(s.part, s.target, bare.rate, s.rate)
	b.sayf("round %d of %d: %v: %.0f/s, %.2f of bare %.0f/s", b.round+1, b.options.Rounds, s.part, s.rate, s.rate/bare.rate, bare.rate)
}

// load is the timed part that is common to all variants.
func (b *bench) load(connections int, addresses ...string) Load {
	return Load{
		Addresses: addresses, Connections: connections, Stock: b.stock, Warmup: b.options.Warmup, Duration: b.options.Duration,
	}
}

func (b *bench) measureBare(ctx context.Context, part Part) (rate float64, err error) {
	err = b.inFolder(func(folder string) error {
		bare, err := bareService(b.options.Bare, folder)
		if err != nil {
			return err
		}
		return b.measure(ctx, part, []service{bare}, 0, func() (int, error) {
			result, err := b.load(part.Connections, bare.address).Run(ctx)
			rate = result.Rate()
			return result.Answered, err
		})
	})
	return rate, err
}

// measureDoor measures the gateway alone. ticketsvc does not run, so that forwarding, which would take its share of the machine, waits
// as it does in an outage.
func (b *bench) measureDoor(ctx context.Context, part Part) (rate float64, err error) {
	err = b.inDatabase(ctx, part.Engine, func(folder string, db database) error {
		nobody, err := process.FreeAddress()
		if err != nil {
			return err
		}
		gateway, err := gatewayService(b.options.Gateway, folder, 1, db.gatewayURL, nobody)
		if err != nil {
			return err
		}
		return b.measure(ctx, part, []service{gateway}, b.options.Warmup+b.options.Duration, func() (int, error) {
			result, err := b.load(part.Connections, gateway.address).Run(ctx)
			rate = result.Rate()
			return result.Answered, err
		})
	})
	return rate, err
}

// measureSustained measures the whole way, from the first request to the last event applied. Each gateway calls the ticketsvc of the
// same number.
func (b *bench) measureSustained(ctx context.Context, part Part) (rate float64, err error) {
	length := b.options.Sustained
	if part.Engine == PostgreSQL {
		length = b.options.SustainedPostgres
	}
	err = b.inDatabase(ctx, part.Engine, func(folder string, db database) error {
		var services []service
		var gateways []string
		for replica := 1; replica <= part.Replicas; replica++ {
			ticketsvc, err := ticketsvcService(b.options.Ticketsvc, folder, replica, db.ticketsvcURL)
			if err != nil {
				return err
			}
			gateway, err := gatewayService(b.options.Gateway, folder, replica, db.gatewayURL, ticketsvc.address)
			if err != nil {
				return err
			}
			services, gateways = append(services, ticketsvc, gateway), append(gateways, gateway.address)
		}
		return b.measure(ctx, part, services, length, func() (int, error) {
			load := b.load(part.Connections, gateways...)
			load.Warmup, load.Duration = 0, length
			result, err := load.Run(ctx)
			if err != nil {
				return 0, err
			}
			if err := db.waitApplied(ctx, result.Answered); err != nil {
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
func (b *bench) measure(ctx context.Context, part Part, services []service, profile time.Duration, timed func() (int, error)) (err error) {
	if err := b.stock.Stamp(time.Now()); err != nil {
		return err
	}
	pids := map[string][]int{}
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
		pids[s.name] = append(pids[s.name], p.PID())
	}
	// This process makes the requests, and what that costs belongs into the picture.
	meters := []meter{newMeter(part, "load generator", usageOf(os.Getpid()))}
	for _, name := range slices.Sorted(maps.Keys(pids)) {
		meters = append(meters, newMeter(part, name, usageOf(pids[name]...)))
	}
	if part.Engine == PostgreSQL {
		meters = append(meters, newMeter(part, PostgreSQL, b.postgres.usage))
	}
	wait := func() error { return nil }
	if b.options.ProfileDir != "" && b.round == 0 && profile > 0 {
		wait = startProfiles(ctx, b.options.ProfileDir, part, services, profile)
	}
	events, err := timed()
	if err := errors.Join(err, wait()); err != nil {
		return err
	}
	for _, m := range meters {
		if err := b.report.Uses.add(m, events); err != nil {
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
