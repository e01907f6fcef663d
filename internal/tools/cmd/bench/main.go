// Command bench measures the gateway and ticketsvc against a bare HTTP handler on the same machine. See bench --help.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresserver"
	"github.com/ticketbridge/ticketbridge/internal/testkit/process"
	"github.com/ticketbridge/ticketbridge/internal/tools/bench"
)

const description = `Measures how many events a second the services take, as a share of what a bare HTTP handler does that only reads each
body and checks its signature. Everything runs on this machine, in turns, several rounds; the median of the rounds counts.

  durable accept                the gateway alone: each event committed and synced before its 200. ticketsvc does not run.
  accept to applied, sustained  gateway and ticketsvc: from the first request to the last event applied.

Both are measured on SQLite, and on PostgreSQL where its server is installed: on a server that is started for it, as durable as it is by
default, with 1, 2 and 4 replicas of each service in the sustained part. It shares the machine with them, so more replicas show what
it costs to be several, and not what several machines would do.

The report's first table has a line for each of these. events/s and bare/s are the medians of the rounds, ratio is the median of what
each round gave, and lowest–highest are its bounds. The second table has what each process used: all replicas of a service together;
the load generator, which takes its share of the same machine; PostgreSQL with all its processes, whose memory is shared and not measured.

Examples:

  The whole measurement, some five minutes (three without PostgreSQL):
    bench --gateway bin/gateway --ticketsvc bin/ticketsvc

  Does everything still work? (half a minute, no verdict)
    bench --gateway bin/gateway --ticketsvc bin/ticketsvc --quick

  What callers of ticketsvc wait for (reads --help tells more):
    bench reads --ticketsvc bin/ticketsvc --fill bin/fill

  How noisy is this machine? The bare handler against itself:
    bench --noise

  CPU profiles of the first round:
    bench --gateway bin/gateway --ticketsvc bin/ticketsvc --rounds 1 --profile-dir profiles

The exit status is 0 when every target is met, 1 when one is missed or something failed, 2 for wrong usage.`

type commandLine struct {
	Run   runCommand   `cmd:"" default:"withargs" help:"Measure. This is what is done without a command."`
	Reads readsCommand `cmd:"" help:"Measure what callers of ticketsvc wait for."`
	Bare  bareCommand  `cmd:"" hidden:"" help:"Serve the bare handler until SIGTERM. The benchmark starts it by itself."`
}

type runCommand struct {
	Gateway           string        `placeholder:"PATH" help:"The gateway's binary."`
	Ticketsvc         string        `placeholder:"PATH" help:"The binary of ticketsvc."`
	Noise             bool          `help:"Measure the bare handler against itself, and no service."`
	Postgres          *bool         `negatable:"" help:"Measure on PostgreSQL too, or (--no-postgres) on SQLite alone. Neither means: where it is installed."`
	Rounds            int           `default:"5" help:"How often everything is measured."`
	Warmup            time.Duration `default:"500ms" help:"For how long requests are sent before they count."`
	Duration          time.Duration `default:"3s" help:"For how long they count."`
	Sustained         time.Duration `default:"8s" help:"For how long requests are sent to both services, before the wait until all are applied."`
	SustainedPostgres time.Duration `default:"5s" help:"The same on PostgreSQL, for each number of replicas."`
	Events            int           `default:"250000" help:"How many different requests are prepared, at 2 kB of memory each. A part ends early when they run out."`
	Dir               string        `default:"data" placeholder:"PATH" help:"Where the databases are made, in folders that are removed again. It decides which disk is measured."`
	ProfileDir        string        `placeholder:"PATH" help:"Write CPU profiles of the services here, from the first round; with replicas, of the first."`
	Quick             bool          `help:"One round of one second each, with fewer events, and no verdict."`
}

type bareCommand struct {
	Address string `arg:"" help:"Where to listen, such as 127.0.0.1:8080."`
	Secret  string `arg:"" help:"The secret that requests are signed with."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// Exit statuses.
const (
	exitMet    = 0
	exitMissed = 1
	exitUsage  = 2
)

// run is the program, without what is global to its process. It returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var line commandLine
	var help bytes.Buffer
	helped := false
	parser, err := kong.New(&line,
		kong.Name("bench"), kong.Description(description), kong.ConfigureHelp(kong.HelpOptions{WrapUpperBound: 120}),
		kong.Writers(&help, &help), kong.Exit(func(int) { helped = true }),
	)
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "bench: %v\n", err)
		return exitUsage
	}
	selected, err := parser.Parse(args)
	if helped {
		_, _ = io.Copy(stdout, &help)
		return exitMet
	}
	if err == nil {
		switch selected.Selected().Name {
		case "run":
			err = line.Run.check()
		case "reads":
			err = line.Reads.check()
		}
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "bench: %v\nRun bench --help to see what can be set.\n", err)
		return exitUsage
	}
	switch selected.Selected().Name {
	case "bare":
		err = bench.ServeBare(ctx, line.Bare.Address, line.Bare.Secret)
	case "reads":
		err = line.Reads.measure(ctx, stdout, stderr)
	default:
		err = line.Run.measure(ctx, stdout, stderr)
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "bench: %v\n", err)
		return exitMissed
	}
	return exitMet
}

// check finds wrong settings. All problems come in one error.
func (c *runCommand) check() error {
	var errs []error
	if c.Noise == (c.Gateway != "" || c.Ticketsvc != "") || !c.Noise && (c.Gateway == "" || c.Ticketsvc == "") {
		errs = append(errs, errors.New("name both --gateway and --ticketsvc, or set --noise"))
	}
	if c.Noise && c.Postgres != nil && *c.Postgres {
		errs = append(errs, errors.New("--noise measures no service, and so nothing on PostgreSQL"))
	}
	if c.Rounds < 1 || c.Events < 1 {
		errs = append(errs, errors.New("--rounds and --events must be at least 1"))
	}
	if c.Warmup < 0 || c.Duration <= 0 || c.Sustained <= 0 || c.SustainedPostgres <= 0 {
		errs = append(errs, errors.New("--duration, --sustained and --sustained-postgres must be positive, and --warmup not negative"))
	}
	// The requests' timestamps are made right before, and the gateway takes them for two minutes.
	if max(c.Warmup+c.Duration, c.Sustained, c.SustainedPostgres) > time.Minute {
		errs = append(errs, errors.New("no part may be longer than a minute"))
	}
	return errors.Join(errs...)
}

var errMissed = errors.New("a target is missed")

// measure runs the benchmark and prints its report, also when it fails on the way.
func (c *runCommand) measure(ctx context.Context, stdout, stderr io.Writer) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	postgres, leftOut, err := c.findPostgres(postgresserver.Find)
	if err != nil {
		return err
	}
	options := bench.Options{
		Gateway: c.Gateway, Ticketsvc: c.Ticketsvc, Bare: process.Command{Path: self, Args: []string{"bare"}}, Postgres: postgres,
		Dir: c.Dir, Rounds: c.Rounds, Warmup: c.Warmup, Duration: c.Duration, Sustained: c.Sustained, SustainedPostgres: c.SustainedPostgres,
		Events: c.Events, ProfileDir: c.ProfileDir, Progress: stderr,
	}
	if c.Quick {
		options.Rounds, options.Warmup, options.Duration = 1, 200*time.Millisecond, time.Second
		options.Sustained, options.SustainedPostgres = time.Second, time.Second
		options.Events = min(options.Events, 80_000)
	}
	_, _ = fmt.Fprint(stderr, leftOut)
	report, err := bench.Run(ctx, options)
	if err == nil && !c.Quick && !report.Met() {
		err = errMissed
	}
	if len(report.Comparisons) == 0 {
		return err
	}
	err = errors.Join(err, report.Print(stdout, !c.Quick))
	// Once more, because the first is far above by now.
	_, _ = fmt.Fprint(stderr, leftOut)
	return err
}

func (c *runCommand) findPostgres(find func() (string, error)) (measured bool, leftOut string, err error) {
	if c.Noise {
		return false, "", nil
	}
	return findPostgres(c.Postgres, find)
}

// findPostgres is the same for a wish, which is nil when nobody said anything.
func findPostgres(wanted *bool, find func() (string, error)) (measured bool, leftOut string, err error) {
	if wanted != nil && !*wanted {
		return false, "", nil
	}
	_, err = find()
	if errors.Is(err, postgresserver.ErrNotInstalled) && wanted == nil {
		return false, fmt.Sprintf("\n*** LEFT OUT: everything on PostgreSQL. %v\n\n", err), nil
	}
	return err == nil, "", err
}
