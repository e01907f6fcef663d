package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresserver"
	"github.com/ticketbridge/ticketbridge/internal/tools/bench"
)

type readsCommand struct {
	Ticketsvc string        `required:"" placeholder:"PATH" help:"The binary of ticketsvc."`
	Fill      string        `required:"" placeholder:"PATH" help:"The binary of fill, which makes databases with many tickets."`
	Postgres  *bool         `negatable:"" help:"Measure on PostgreSQL too, or (--no-postgres) on SQLite alone. Neither means: where it is installed."`
	Few       int           `default:"10000" help:"How many tickets the smaller of the two databases has that are compared."`
	Many      int           `default:"1000000" help:"How many the larger one has. A fifth of them is open, and pages of 100 of these are read."`
	Page      int           `default:"1000" help:"Which page of lists is compared to the first."`
	Rounds    int           `default:"5" help:"How often everything is measured."`
	Calls     int           `default:"40" help:"How often each query is made in a round; where many call at the same time, a quarter as many bursts of ten calls each."`
	Watchers  int           `default:"1000" help:"How many watch at the same time."`
	Writing   time.Duration `default:"2s" help:"For how long events are recorded in each round, with watchers and without."`
	Paced     time.Duration `default:"4s" help:"For how long events are recorded at a steady rate, to measure when watchers hear of them."`
	Dir       string        `default:"data" placeholder:"PATH" help:"Where the databases are made, in folders that are removed again."`
	Quick     bool          `help:"One short round with few tickets and watchers, and no verdict."`
}

// Help tells what is measured.
func (readsCommand) Help() string {
	return `Everything goes through ticketsvc's own process, over real connections, on SQLite and, where it is installed, on PostgreSQL.

GetTicket and GetTicketStats are compared between a database with few tickets and one with many, pages of ListTickets between the first
and a late one. Two services have a database each, and are called in turns.

Recording is compared between a service that nobody watches and one with a thousand streams of WatchTickets, each of a property of its own,
so that each event goes to one of them. "Until told" is the same where the time ends when the last watcher has heard of the last event: what
can go on for ever. Watchers run on the same machine, and what they take from it is in both figures; the last table has it apart.

Lags are how long after the answer to whoever recorded an event a watcher has it, at a steady rate. On PostgreSQL events are recorded by one
replica and watched at another.

The databases are in the system's cache by then: what a slow disk makes of the first reading is not measured. Their log is empty, since
nothing that is compared reads it.`
}

// check finds wrong settings. All problems come in one error.
func (c *readsCommand) check() error {
	var errs []error
	if c.Few < 1000 || c.Many < c.Few || c.Many > 1<<24 {
		errs = append(errs, fmt.Errorf("--few must be at least 1000, and --many at least as many and at most %d", 1<<24))
	}
	if c.Page < 2 || c.Page*500 > c.Many {
		errs = append(errs, errors.New("--page must be at least 2, and --many 500 times as much or more"))
	}
	if c.Rounds < 1 || c.Calls < 4 || c.Watchers < 1 || c.Watchers > 4000 {
		errs = append(errs, errors.New("--rounds must be at least 1, --calls at least 4, and --watchers from 1 to 4000"))
	}
	if c.Writing <= 0 || c.Paced <= 0 {
		errs = append(errs, errors.New("--writing and --paced must be positive"))
	}
	return errors.Join(errs...)
}

// measure runs the benchmark and prints its report, also when it fails on the way.
func (c *readsCommand) measure(ctx context.Context, stdout, stderr io.Writer) error {
	postgres, leftOut, err := findPostgres(c.Postgres, postgresserver.Find)
	if err != nil {
		return err
	}
	options := bench.ReadOptions{
		Ticketsvc: c.Ticketsvc, Fill: c.Fill, Postgres: postgres, Dir: c.Dir, Few: c.Few, Many: c.Many, Page: c.Page, Rounds: c.Rounds,
		Calls: c.Calls, Watchers: c.Watchers, Writing: c.Writing, Paced: c.Paced, Progress: stderr,
	}
	if c.Quick {
		options.Few, options.Many, options.Page, options.Rounds, options.Calls = 1000, 6000, 10, 1, 10
		options.Watchers, options.Writing, options.Paced = 50, 300*time.Millisecond, 300*time.Millisecond
	}
	_, _ = fmt.Fprint(stderr, leftOut)
	report, err := bench.RunReads(ctx, options)
	if err == nil && !c.Quick && !report.Met() {
		err = errMissed
	}
	if len(report.Ratios) == 0 {
		return err
	}
	err = errors.Join(err, report.Print(stdout, !c.Quick))
	_, _ = fmt.Fprint(stderr, leftOut)
	return err
}
