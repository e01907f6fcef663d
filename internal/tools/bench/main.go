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

const description = `Measures the number of events a second that the services accept, as a share of the rate of a bare HTTP handler that
only reads each body and checks its signature. Everything runs on this machine, in turns and in rounds. The median of the rounds counts.

  durable accept                the gateway alone: each event committed and synced before its 200. ticketsvc does not run.
  accept to applied, sustained  gateway and ticketsvc: from the first request to the last event applied.

The benchmark starts a PostgreSQL server with its default durability. 1, 2 and 4 replicas of each service share the machine with it. They
show the cost of several replicas, and not the rate that several machines would reach.

The command reads measures the calls of ticketsvc: calls with many tickets against few, a late page of a list against the first, recording
with watchers against recording without, and the lag, which is the time from the answer to the recording call until a watcher has the event.

The exit status is 0 if every target is met, 1 if a target is missed or something failed, and 2 for wrong usage.`

type commandLine struct {
	Run     acceptCommand  `cmd:"" default:"withargs" help:"Measure the path of an event. This is the default command."`
	Reads   readsCommand   `cmd:"" help:"Measure the calls of ticketsvc."`
	Compare compareCommand `cmd:"" help:"Compare durable accept of two gateways, in turns of a second. The figures are the last lines of the log."`
	Noise   noiseCommand   `cmd:"" help:"Measure the bare handler against itself."`
	Bare    bareCommand    `cmd:"" hidden:"" help:"Serve the bare handler until SIGTERM. The benchmark starts it by itself."`
}

// settings are the settings of all commands that measure.
type settings struct {
	Rounds int    `default:"5" help:"The number of rounds."`
	Dir    string `default:"data" placeholder:"PATH" help:"The folder for the databases, and so the disk that is measured. They are removed at the end."`
	Quick  bool   `help:"Measure one short round with little data, and do not check the targets."`
}

type postgresSetting struct {
	Postgres *bool `negatable:"" help:"Measure on PostgreSQL too, or only on SQLite (--no-postgres). Default: if it is installed."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// Exit statuses.
const exitMet, exitMissed, exitUsage = 0, 1, 2

// run is the program, without global state of its process. It returns the exit status.
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
	if err == nil && min(line.Run.Rounds, line.Reads.Rounds, line.Noise.Rounds, line.Compare.Rounds) < 1 {
		err = errors.New("--rounds must be at least 1")
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "bench: %v\nbench --help lists all settings.\n", err)
		return exitUsage
	}
	switch selected.Selected().Name {
	case "bare":
		err = serveBare(ctx, line.Bare.Address, line.Bare.Secret)
	case "compare":
		err = measure(ctx, line.Compare.settings, line.Compare.Postgres, line.Compare.measure, stdout, stderr)
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

// measure runs a command and prints its results, even if the command fails.
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
		// It is printed a second time, because the first is far above by now.
		_, _ = fmt.Fprint(stderr, leftOut)
	}
	return err
}

// findPostgres reports whether PostgreSQL is measured. wanted is nil if it was not set. Then a missing server is no error, and leftOut is a
// message about it.
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
