package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

type readsCommand struct {
	settings
	postgresSetting
	Ticketsvc string `required:"" placeholder:"PATH" help:"The binary of ticketsvc."`
}

// readScale is the amount of work.
type readScale struct {
	// few and many are the numbers of tickets of the two compared databases. A fifth of the tickets is open.
	few, many int
	// page is the number of the page that is compared to the first page, with 100 tickets each. The list of open tickets has many/5 tickets.
	page int
	// calls is the number of calls of each query in a round.
	calls int
	// watchers is the number of watchers, and crowd the number of watchers of all events at the higher rate.
	watchers, crowd int
	// writing is the time of recording in a round, with watchers and without. paced is the time of recording at a steady rate, for the
	// measurement of the lag.
	writing, paced time.Duration
}

var (
	fullReads  = readScale{10_000, 1_000_000, 1000, 40, 1000, 50, 2 * time.Second, 10 * time.Second}
	quickReads = readScale{1000, 6000, 10, 10, 50, 10, 300 * time.Millisecond, 300 * time.Millisecond}
)

// The targets for the calls of ticketsvc.
const (
	getAtMost    = 1.5
	pageAtMost   = 2
	statsAtMost  = 3
	writeAtLeast = 0.7
	lagAtMost    = 1000 // ms
)

func (c *readsCommand) measure(ctx context.Context, b *bench) error {
	r := &reads{b, *c, fullReads}
	if c.Quick {
		r.Rounds, r.readScale = 1, quickReads
	}
	return r.run(ctx)
}

// reads measures the calls of ticketsvc.
type reads struct {
	*bench
	readsCommand
	readScale
}

func (r *reads) run(ctx context.Context) error {
	r.results.head = append(r.results.head, fmt.Sprintf("GetTicket and GetTicketStats with %d tickets are compared to %d; page %d of "+
		"ListTickets to the first; recording with watchers to recording without.", r.many, r.few, r.page))
	for _, measure := range []func(context.Context, string) error{r.measureQueries, r.measureWriters, r.measureLags} {
		for _, engine := range r.engines() {
			if err := measure(ctx, engine); err != nil {
				return fmt.Errorf("%s: %w", engine, err)
			}
		}
	}
	return nil
}

// serve starts ticketsvc on a new database. The caller must call close, except after an error.
func (r *reads) serve(ctx context.Context, engine string, replicas int) (*system, error) {
	s, err := r.newSystem(ctx, engine)
	if err != nil {
		return nil, err
	}
	for range replicas {
		if _, err := r.startTicketsvc(ctx, s, r.Ticketsvc); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	return s, nil
}
