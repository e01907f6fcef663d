// Command bench measures the gateway and ticketsvc against a bare HTTP handler on the same machine. See bench --help.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresserver"
)

const description = `Measures how many events a second the services take, as a share of what a bare HTTP handler takes that only reads each
body and checks its signature. Everything runs on this machine, in turns, several rounds; the median of the rounds counts.

  durable accept                the gateway alone: each event committed and synced before its 200. ticketsvc does not run.
  accept to applied, sustained  gateway and ticketsvc: from the first request to the last event applied.

PostgreSQL is a server that is started for the benchmark, with its default durability. 1, 2 and 4 replicas of each service share the machine
with it: they show what it costs to be several, not what several machines would do.

The command reads measures what callers of ticketsvc wait for: calls with many tickets against few, a late page of a list against the first,
recording with watchers against without, and the lag: how long after the answer to the recording call a watcher has the event.

The exit status is 0 when every target is met, 1 when one is missed or something failed, 2 for wrong usage.`

type commandLine struct {
	Run   acceptCommand `cmd:"" default:"withargs" help:"Measure the way of an event. This is the default command."`
	Reads readsCommand  `cmd:"" help:"Measure what callers of ticketsvc wait for."`
	Noise noiseCommand  `cmd:"" help:"Measure the bare handler against itself."`
	Bare  bareCommand   `cmd:"" hidden:"" help:"Serve the bare handler until SIGTERM. The benchmark starts it by itself."`
}

// settings are those of all commands that measure.
type settings struct {
	Rounds int    `default:"5" help:"How often everything is measured."`
	Dir    string `default:"data" placeholder:"PATH" help:"Where the databases are made, in folders that are removed again. It decides which disk is measured."`
	Quick  bool   `help:"One short round with little data, and no verdict."`
}

type postgresSetting struct {
	Postgres *bool `negatable:"" help:"Measure on PostgreSQL too, or (--no-postgres) on SQLite alone. Neither means: where it is installed."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// Exit statuses.
const exitMet, exitMissed, exitUsage = 0, 1, 2

// run is the program, without what is global to its process. It returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var line commandLine
	helped := false
	parser := kong.Must(&line,
		kong.Name("bench"), kong.Description(description), kong.ConfigureHelp(kong.HelpOptions{WrapUpperBound: 120}),
		kong.Writers(stdout, stdout), kong.Exit(func(int) { helped = true }))
	selected, err := parser.Parse(args)
	if helped {
		return exitMet
	}
	if err == nil && min(line.Run.Rounds, line.Reads.Rounds, line.Noise.Rounds) < 1 {
		err = errors.New("--rounds must be at least 1")
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "bench: %v\nRun bench --help to see what can be set.\n", err)
		return exitUsage
	}
	switch selected.Selected().Name {
	case "bare":
		err = serveBare(ctx, line.Bare.Address, line.Bare.Secret)
	case "noise":
		err = measure(ctx, line.Noise.settings, new(bool), line.Noise.measure, stdout, stderr)
	case "reads":
		err = measure(ctx, line.Reads.settings, line.Reads.Postgres, line.Reads.measure, stdout, stderr)
	default:
		err = measure(ctx, line.Run.settings, line.Run.Postgres, line.Run.measure, stdout, stderr)
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "bench: %v\n", err)
		return exitMissed
	}
	return exitMet
}

var errMissed = errors.New("a target is missed")

// measure runs a command and prints what it measured, also when it fails on the way.
func measure(ctx context.Context, s settings, wanted *bool, command func(context.Context, *bench) error, stdout, stderr io.Writer) error {
	postgres, leftOut, err := findPostgres(wanted, postgresserver.Find)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprint(stderr, leftOut)
	b, err := newBench(s.Dir, stderr)
	if err != nil {
		return err
	}
	if postgres {
		err = b.startPostgres(ctx)
	}
	if err == nil {
		err = command(ctx, b)
	}
	err = errors.Join(err, b.close())
	if err == nil && !s.Quick && !b.results.met() {
		err = errMissed
	}
	if len(b.results.figures) > 0 {
		err = errors.Join(err, b.results.print(stdout, !s.Quick))
		// Once more, because the first is far above by now.
		_, _ = fmt.Fprint(stderr, leftOut)
	}
	return err
}

// findPostgres returns whether PostgreSQL is measured. wanted is nil when nobody set it: then a missing server is left out, which leftOut
// says.
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
