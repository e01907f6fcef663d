package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
)

const (
	// steadyRate is how many events a second are recorded where lags are measured, and crowdRate the same where each goes to all watchers.
	steadyRate, crowdRate = 500, 10
	// recorders is how many events are under way at the same time at the most, as the gateway has.
	recorders = manyConnections
)

// measureWatching measures what watchers cost, and when they hear of a change.
func (b *readBench) measureWatching(ctx context.Context, engine string) error {
	if err := b.measureWriters(ctx, engine); err != nil {
		return err
	}
	// Hints between replicas are a part of the way, where there can be several.
	replicas := 1
	if engine == PostgreSQL {
		replicas = 2
	}
	everything := []*ticketv1.TicketFilter{nil}
	for _, lag := range []struct {
		variant string
		rate    int
		filters []*ticketv1.TicketFilter
		// crowd tells that each event goes to all watchers, and not to one.
		crowd bool
	}{
		{"1 watches everything", steadyRate, everything, false},
		{thousands(b.options.Watchers) + " watch a property each", steadyRate, b.properties(), false},
		{thousands(b.options.Watchers) + " watch everything", crowdRate, slices.Repeat(everything, b.options.Watchers), true},
	} {
		measured := Lag{Variant: lag.variant, Engine: engine, Rate: float64(lag.rate)}
		if err := b.measureLag(ctx, measured, replicas, lag.filters, lag.crowd); err != nil {
			return fmt.Errorf("%s: %w", lag.variant, err)
		}
	}
	return nil
}

// properties returns a filter for each watcher, of a property of its own. Tickets are spread over them.
func (b *readBench) properties() []*ticketv1.TicketFilter {
	filters := make([]*ticketv1.TicketFilter, b.options.Watchers)
	for i := range filters {
		filters[i] = &ticketv1.TicketFilter{PropertyIds: []string{propertyID(i)}}
	}
	return filters
}

// measureWriters compares how many events a second are recorded with watchers and without, by two services with databases of their own.
func (b *readBench) measureWriters(ctx context.Context, engine string) (err error) {
	quiet, closeQuiet, err := b.newSource(ctx, engine, 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeQuiet()) }()
	watched, closeWatched, err := b.newSource(ctx, engine, 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeWatched()) }()
	fleet, err := startFleet(ctx, watched.services[0].url, b.properties(), "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fleet.close()) }()
	for _, s := range []*source{quiet, watched} {
		if err := s.seed(ctx); err != nil {
			return err
		}
	}
	variant := fmt.Sprintf("recording, %s watch a property each", thousands(b.options.Watchers))
	quietPart := Part{Variant: "recording, nobody watches", Engine: engine, Replicas: 1, Connections: recorders}
	watchedPart := Part{Variant: variant, Engine: engine, Replicas: 1, Connections: recorders}
	for round := range b.options.Rounds + 1 {
		var base, compared rates
		for slice := range writingSlices {
			measure := []func() error{
				func() error { return b.measureWriting(ctx, quietPart, quiet, nil, &base, round > 0) },
				func() error { return b.measureWriting(ctx, watchedPart, watched, fleet, &compared, round > 0) },
			}
			if (round+slice)%2 == 1 {
				slices.Reverse(measure)
			}
			for _, f := range measure {
				if err := f(); err != nil {
					return err
				}
			}
		}
		// The first round opens connections.
		if round == 0 {
			continue
		}
		b.report.addRatio(Ratio{Variant: variant, Engine: engine, Unit: "/s", AtLeast: writeAtLeast}, base.recorded(), compared.recorded())
		b.report.addRatio(Ratio{Variant: variant + ", until told", Engine: engine, Unit: "/s"}, base.told(), compared.told())
		b.sayf("%s: %s: %.0f/s, %.2f of %.0f/s without watchers, round %d of %d", engine, variant, compared.recorded(),
			compared.recorded()/base.recorded(), base.recorded(), round, b.options.Rounds)
	}
	return nil
}

// writingSlices is into how many parts the writing of a round is cut, which take turns: what else the machine does comes and goes.
const writingSlices = 4

// rates sums up the recording of events.
type rates struct {
	events int
	// recording is until all were recorded, telling until the watchers were told of them.
	recording, telling time.Duration
}

// recorded and told return the events a second.
func (r rates) recorded() float64 { return float64(r.events) / r.recording.Seconds() }
func (r rates) told() float64     { return float64(r.events) / r.telling.Seconds() }

// measureWriting has events recorded, as fast as can be, for a part of a round.
func (b *readBench) measureWriting(ctx context.Context, part Part, s *source, watchers *fleet, sum *rates, counted bool) error {
	meters := b.meters(part, s)
	begin := time.Now()
	events, err := s.recordFor(ctx, b.options.Writing/writingSlices)
	if err != nil {
		return err
	}
	recorded := time.Now()
	if watchers != nil {
		if err := watchers.wait(ctx, s.recorded()); err != nil {
			return err
		}
	}
	sum.events += events
	sum.recording += recorded.Sub(begin)
	sum.telling += time.Since(begin)
	if !counted {
		return nil
	}
	return b.addUses(meters, events)
}

// measureLag has events recorded at a steady rate by one replica, and watched at another where there is one.
func (b *readBench) measureLag(ctx context.Context, lag Lag, replicas int, filters []*ticketv1.TicketFilter, crowd bool) (err error) {
	s, closeSource, err := b.newSource(ctx, lag.Engine, replicas)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeSource()) }()
	fleet, due, err := b.watch(ctx, s, s.services[replicas-1].url, filters, crowd)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fleet.close()) }()
	meters := b.meters(Part{Variant: lag.Variant, Engine: lag.Engine, Replicas: replicas, Connections: recorders}, s)
	calls, err := s.recordAt(ctx, lag.Rate, b.options.Paced)
	if err != nil {
		return err
	}
	if err := fleet.wait(ctx, due()); err != nil {
		return err
	}
	if err := b.addUses(meters, len(calls)); err != nil {
		return err
	}
	if err := fleet.close(); err != nil {
		return err
	}
	var lags, took []time.Duration
	for _, call := range calls {
		took = append(took, call.answered.Sub(call.sent))
	}
	for _, r := range fleet.receipts() {
		// What came before was recorded to have tickets.
		if i := r.event - calls[0].event; i >= 0 {
			lags = append(lags, max(0, r.at.Sub(calls[i].answered)))
		}
	}
	if lag, err = newLag(lag, lags, took); err != nil {
		return err
	}
	b.report.Lags = append(b.report.Lags, lag)
	b.sayf("%s: %s, %.0f events/s: p50 %v, p99 %v", lag.Engine, lag.Variant, lag.Rate, lag.P50.Round(time.Microsecond),
		lag.P99.Round(time.Microsecond))
	return nil
}

// watch starts watchers and makes the first tickets, in whichever order is quicker. due returns of how many events the watchers are to be
// told, all together.
func (b *readBench) watch(ctx context.Context, s *source, url string, filters []*ticketv1.TicketFilter, crowd bool,
) (_ *fleet, due func() int, err error) {
	if !crowd {
		fleet, err := startFleet(ctx, url, filters, "")
		if err != nil {
			return nil, nil, err
		}
		if err = s.seed(ctx); err == nil {
			err = fleet.wait(ctx, s.recorded())
		}
		if err != nil {
			return nil, nil, errors.Join(err, fleet.close())
		}
		return fleet, s.recorded, nil
	}
	if err := s.seed(ctx); err != nil {
		return nil, nil, err
	}
	token, err := currentToken(ctx, url)
	if err != nil {
		return nil, nil, err
	}
	fleet, err := startFleet(ctx, url, filters, token)
	before := s.recorded()
	return fleet, func() int { return len(filters) * (s.recorded() - before) }, err
}

// newSource starts services on a new database, and returns where they get events from, with what stops them.
func (b *readBench) newSource(ctx context.Context, engine string, replicas int) (_ *source, stop func() error, err error) {
	url, err := b.newDatabase(ctx, engine)
	if err != nil {
		return nil, nil, err
	}
	s := &source{properties: b.options.Watchers}
	stop = func() (err error) {
		for _, service := range s.services {
			err = errors.Join(err, service.close())
		}
		return err
	}
	for range replicas {
		service, err := b.serve(ctx, url)
		if err != nil {
			return nil, nil, errors.Join(err, stop())
		}
		s.services = append(s.services, service)
	}
	return s, stop, nil
}

// meters notes what each process has used so far.
func (b *readBench) meters(part Part, s *source) []meter {
	var pids []int
	for _, service := range s.services {
		pids = append(pids, service.PID())
	}
	meters := []meter{newMeter(part, "callers and watchers", usageOf(os.Getpid())), newMeter(part, "ticketsvc", usageOf(pids...))}
	if part.Engine == PostgreSQL {
		meters = append(meters, newMeter(part, PostgreSQL, b.postgres.usage))
	}
	return meters
}

func (b *readBench) addUses(meters []meter, events int) error {
	for _, m := range meters {
		if err := b.report.Uses.add(m, events); err != nil {
			return err
		}
	}
	return nil
}

func propertyID(number int) string { return "property-" + strconv.Itoa(number) }
