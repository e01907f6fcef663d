package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
)

// properties returns a filter for each watcher, each with another property. Tickets are spread over the properties.
func (r *reads) properties() []*ticketv1.TicketFilter {
	filters := make([]*ticketv1.TicketFilter, r.watchers)
	for i := range filters {
		filters[i] = &ticketv1.TicketFilter{PropertyIds: []string{propertyID(i)}}
	}
	return filters
}

// writingSlices is the number of slices of the recording of a round. Slices with watchers and without take turns, so that other load on the
// machine affects both.
const writingSlices = 4

// measureWriters compares the rate of recording with watchers to the rate without, on two services, each with its own database.
func (r *reads) measureWriters(ctx context.Context, engine string) (err error) {
	parts := [2]part{{"recording, nobody watches", engine, 1, recorders},
		{fmt.Sprintf("recording, %d watch a property each", r.watchers), engine, 1, recorders}}
	var sources [2]*source
	for i := range sources {
		if sources[i], err = r.newSource(ctx, engine, 1); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, sources[i].close()) }()
	}
	watchers, err := startFleet(ctx, sources[1].services[0].url(), r.properties())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, watchers.close()) }()
	for round := range r.Rounds + 1 {
		var events [2]float64
		var recording, delivering [2]time.Duration
		for turn := range 2 * writingSlices {
			i := (turn + (turn / 2) + round) % 2
			s, p := sources[i], parts[i]
			before, used, begin := s.next, r.usage(p, s.services), time.Now()
			if err := s.recordFor(ctx, r.writing/writingSlices); err != nil {
				return err
			}
			recording[i] += time.Since(begin)
			if i == 1 {
				if err := watchers.wait(ctx, s.next); err != nil {
					return err
				}
			}
			delivering[i] += time.Since(begin)
			events[i] += float64(s.next - before)
			r.recordUsage(p, s.services, used, s.next-before)
		}
		// The first round opens connections.
		if round == 0 {
			continue
		}
		quiet, watched := events[0]/recording[0].Seconds(), events[1]/recording[1].Seconds()
		r.results.add(figure{part: parts[1], unit: "/s", atLeast: writeAtLeast}, watched, quiet)
		r.results.add(figure{part: parts[1], what: "until delivered", unit: "/s"}, events[1]/delivering[1].Seconds(), quiet)
		r.logf("%s: %s: %.0f/s, %.2f of %.0f/s without watchers, round %d of %d", engine, parts[1].variant, watched, watched/quiet, quiet,
			round, r.Rounds)
	}
	return nil
}

// watching is a measurement of the lag: the time from the answer to the recording call until a watcher has the event. The lag is 0 if the
// watcher has the event before the answer.
type watching struct {
	variant string
	filters []*ticketv1.TicketFilter
	// everything is set if each watcher gets all events.
	everything bool
	// rate is the number of events recorded a second.
	rate int
	// atMost is the target of the lag at p99, in milliseconds. 0 means none.
	atMost float64
}

func (r *reads) measureLags(ctx context.Context, engine string) error {
	everything := func(n, rate int, atMost float64) watching {
		return watching{fmt.Sprintf("lag, %d watch everything, %d events/s", n, rate), make([]*ticketv1.TicketFilter, n), true, rate, atMost}
	}
	for _, w := range []watching{
		everything(1, 500, 0),
		{fmt.Sprintf("lag, %d watch a property each, 500 events/s", r.watchers), r.properties(), false, 500, 0},
		everything(r.crowd, 300, lagAtMost),
		everything(r.watchers, 10, 0),
	} {
		if err := r.measureLag(ctx, engine, w); err != nil {
			return fmt.Errorf("%s: %w", w.variant, err)
		}
	}
	return nil
}

// measureLag records events at a steady rate at one replica. If the engine allows several replicas, it watches them at another one, so that
// the lag includes the notification between replicas.
func (r *reads) measureLag(ctx context.Context, engine string, w watching) (err error) {
	replicas := 1
	if engine == postgreSQL {
		replicas = 2
	}
	s, err := r.newSource(ctx, engine, replicas)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	fleet, err := startFleet(ctx, s.services[replicas-1].url(), w.filters)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fleet.close()) }()
	measured := part{w.variant, engine, replicas, recorders}
	used := r.usage(measured, s.services)
	answered, err := s.recordAt(ctx, w.rate, r.paced)
	if err != nil {
		return err
	}
	due := len(answered)
	if w.everything {
		due *= len(w.filters)
	}
	if err := fleet.wait(ctx, due); err != nil {
		return err
	}
	var lags []float64
	for _, receipt := range fleet.receipts {
		lags = append(lags, max(0, receipt.at.Sub(answered[receipt.event]).Seconds()*1e3))
	}
	slices.Sort(lags)
	p50, p99 := lags[(len(lags)-1)/2], lags[(len(lags)-1)*99/100]
	r.results.add(figure{part: measured, what: "p50", unit: "ms"}, p50)
	r.results.add(figure{part: measured, what: "p99", unit: "ms", atMost: w.atMost}, p99)
	r.logf("%s: %s: p50 %.1f ms, p99 %.1f ms", engine, w.variant, p50, p99)
	r.recordUsage(measured, s.services, used, len(answered))
	return nil
}
