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

// readScale is how much is measured.
type readScale struct {
	// few and many are how many tickets the two databases have that are compared. A fifth is open.
	few, many int
	// page is which page of a list is compared to the first, of 100 tickets each. The filter of open tickets leaves many/5.
	page int
	// calls is how often each query is made in a round.
	calls int
	// watchers is how many watch at the same time, and crowd how many watch everything at a higher rate.
	watchers, crowd int
	// writing is how long events are recorded in a round, with watchers and without. paced is how long they are recorded at a steady rate,
	// to measure when watchers have them.
	writing, paced time.Duration
}

var (
	fullReads  = readScale{10_000, 1_000_000, 1000, 40, 1000, 50, 2 * time.Second, 10 * time.Second}
	quickReads = readScale{1000, 6000, 10, 10, 50, 10, 300 * time.Millisecond, 300 * time.Millisecond}
)

// The targets of what ticketsvc's callers wait for.
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

// reads measures what callers of ticketsvc wait for.
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

// serve starts ticketsvc on a new database. The caller has to call close, unless there is an error.
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
