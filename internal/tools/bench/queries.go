package bench

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
)

// pageSize is how many tickets the pages have that are compared.
const pageSize = 100

// concurrentCallers is how many call at the same time, where it is more than one.
const concurrentCallers = 32

// query is a call that is compared to another one.
type query struct {
	variant string
	atMost  float64
	callers int
	// base and compared make one call each.
	base, compared func(context.Context) error
}

// pair is two services of one engine, with few tickets and with many.
type pair struct {
	engine    string
	few, many *target
}

// target is a service whose tickets are asked for in turn.
type target struct {
	*served
	ids  []string
	next atomic.Int64
}

// measureQueries compares the services of each engine, in turns.
func (b *readBench) measureQueries(ctx context.Context, engines []string) (err error) {
	few, many, err := b.fillAll(ctx, engines)
	if err != nil {
		return err
	}
	for _, engine := range engines {
		if err := b.compareServices(ctx, engine, few[engine], many[engine]); err != nil {
			return fmt.Errorf("%s: %w", engine, err)
		}
	}
	return nil
}

func (b *readBench) compareServices(ctx context.Context, engine string, few, many *filled) (err error) {
	p := pair{engine: engine}
	for _, side := range []struct {
		target **target
		filled *filled
	}{{&p.few, few}, {&p.many, many}} {
		service, err := b.serve(ctx, side.filled.url)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, service.close()) }()
		*side.target = &target{served: service, ids: side.filled.ids}
	}
	queries, err := b.queries(ctx, p)
	if err != nil {
		return err
	}
	for round := range b.options.Rounds + 1 {
		for _, q := range queries {
			base, compared, err := b.measureQuery(ctx, q, round%2 == 1)
			if err != nil {
				return fmt.Errorf("%s: %w", q.variant, err)
			}
			// The first round opens connections, and has everything read once.
			if round > 0 {
				b.report.addRatio(Ratio{Variant: q.variant, Engine: engine, Unit: "µs", AtMost: q.atMost}, base, compared)
			}
		}
		if round > 0 {
			b.sayf("%s: calls compared, round %d of %d", engine, round, b.options.Rounds)
		}
	}
	return nil
}

// queries returns everything that is compared.
func (b *readBench) queries(ctx context.Context, p pair) ([]query, error) {
	queries := []query{
		{"GetTicket, one call at a time", getAtMost, 1, p.few.get, p.many.get},
		{fmt.Sprintf("GetTicket, %d at a time", concurrentCallers), getAtMost, concurrentCallers, p.few.get, p.many.get},
	}
	open := []ticketv1.TicketStatus{
		ticketv1.TicketStatus_TICKET_STATUS_WAITING_FOR_AGENT, ticketv1.TicketStatus_TICKET_STATUS_WAITING_FOR_CUSTOMER,
		ticketv1.TicketStatus_TICKET_STATUS_WAITING_FOR_EXTERNAL,
	}
	for _, list := range []struct {
		name    string
		request *ticketv1.ListTicketsRequest
	}{
		{"update_time desc", &ticketv1.ListTicketsRequest{OrderBy: "update_time desc"}},
		{"create_time", &ticketv1.ListTicketsRequest{OrderBy: "create_time"}},
		{"open ones", &ticketv1.ListTicketsRequest{Filter: &ticketv1.TicketFilter{Statuses: open}}},
	} {
		token, err := p.many.walk(ctx, list.request, (b.options.Page-1)*pageSize)
		if err != nil {
			return nil, err
		}
		first, late := p.many.list(list.request, ""), p.many.list(list.request, token)
		queries = append(queries, query{"ListTickets, " + list.name, pageAtMost, 1, first, late})
	}
	example, err := p.many.tickets.GetTicket(ctx, &ticketv1.GetTicketRequest{TicketId: p.many.ids[0]})
	if err != nil {
		return nil, err
	}
	// The first property is there with few tickets, too.
	first, err := p.many.tickets.ListTickets(ctx, &ticketv1.ListTicketsRequest{PageSize: 1, OrderBy: "create_time"})
	if err != nil {
		return nil, err
	}
	for _, stats := range []struct {
		name   string
		filter *ticketv1.TicketFilter
	}{
		{"all", nil},
		{"of an app", &ticketv1.TicketFilter{AppIds: []string{example.GetTicket().GetAppId()}}},
		{"open ones", &ticketv1.TicketFilter{Statuses: open}},
		{"unassigned", &ticketv1.TicketFilter{Unassigned: true}},
		{"of a property", &ticketv1.TicketFilter{PropertyIds: []string{first.GetTickets()[0].GetPropertyId()}}},
	} {
		queries = append(queries, query{"GetTicketStats, " + stats.name, statsAtMost, 1, p.few.stats(stats.filter), p.many.stats(stats.filter)})
	}
	return queries, nil
}

// get reads the next ticket of the sample.
func (t *target) get(ctx context.Context) error {
	id := t.ids[int(t.next.Add(1))%len(t.ids)]
	_, err := t.tickets.GetTicket(ctx, &ticketv1.GetTicketRequest{TicketId: id})
	return err
}

// list returns the call that reads one page of a list.
func (t *target) list(request *ticketv1.ListTicketsRequest, token string) func(context.Context) error {
	return func(ctx context.Context) error {
		response, err := t.tickets.ListTickets(ctx, &ticketv1.ListTicketsRequest{
			PageSize: pageSize, PageToken: token, Filter: request.GetFilter(), OrderBy: request.GetOrderBy(),
		})
		if err == nil && len(response.GetTickets()) != pageSize {
			err = fmt.Errorf("a page has %d tickets, want %d", len(response.GetTickets()), pageSize)
		}
		return err
	}
}

// walk goes through a list, and returns the token of the page behind that many tickets.
func (t *target) walk(ctx context.Context, request *ticketv1.ListTicketsRequest, tickets int) (token string, err error) {
	const longestPage = 1000
	for left := tickets; left > 0; {
		response, err := t.tickets.ListTickets(ctx, &ticketv1.ListTicketsRequest{
			PageSize: int32(min(longestPage, left)), PageToken: token, Filter: request.GetFilter(), OrderBy: request.GetOrderBy(),
		})
		if err != nil {
			return "", err
		}
		left -= len(response.GetTickets())
		if token = response.GetNextPageToken(); token == "" {
			return "", fmt.Errorf("the list ends %d tickets before the page that is measured", left)
		}
	}
	return token, nil
}

// stats returns the call that reads stats.
func (t *target) stats(filter *ticketv1.TicketFilter) func(context.Context) error {
	return func(ctx context.Context) error {
		response, err := t.tickets.GetTicketStats(ctx, &ticketv1.GetTicketStatsRequest{Filter: filter})
		if err == nil && response.GetTotalCount() == 0 {
			err = errors.New("there are no tickets to count")
		}
		return err
	}
}

// callsEach is how many calls each of several callers makes at a time.
const callsEach = 10

// measureQuery returns how many microseconds each of the two calls takes: the medians of many, in turns. Where several callers make it,
// each of the many is the time of a burst, divided by the number of its calls.
func (b *readBench) measureQuery(ctx context.Context, q query, reverse bool) (base, compared float64, err error) {
	calls, took := []func(context.Context) error{q.base, q.compared}, [2][]float64{}
	first := 0
	if reverse {
		first = 1
	}
	samples, once := b.options.Calls, callOnce
	if q.callers > 1 {
		samples = b.options.Calls / 4
		once = func(ctx context.Context, call func(context.Context) error) (time.Duration, error) {
			return callTogether(ctx, call, q.callers)
		}
	}
	for range samples {
		for _, i := range []int{first, 1 - first} {
			d, err := once(ctx, calls[i])
			if err != nil {
				return 0, 0, err
			}
			took[i] = append(took[i], float64(d)/float64(time.Microsecond))
		}
	}
	return median(took[0]), median(took[1]), nil
}

func callOnce(ctx context.Context, call func(context.Context) error) (time.Duration, error) {
	begin := time.Now()
	err := call(ctx)
	return time.Since(begin), err
}

func callTogether(ctx context.Context, call func(context.Context) error, callers int) (each time.Duration, err error) {
	begin := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for range callers {
		group.Go(func() error {
			for range callsEach {
				if err := call(ctx); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err = group.Wait()
	return time.Since(begin) / time.Duration(callers*callsEach), err
}
