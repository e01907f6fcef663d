package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/internal/testkit/tickets"
)

const (
	// pageSize is the number of tickets of the compared pages. longestPage is the maximum number of tickets of a page.
	pageSize, longestPage = 100, 1000
	// concurrentCallers is the number of callers at the same time, for queries with more than one.
	concurrentCallers = 32
)

// query is a call that is compared to a base call.
type query struct {
	variant string
	atMost  float64
	callers int
	// base and compared each make one call.
	base, compared func(context.Context) error
}

// target is a service with tickets.
type target struct {
	*system
	size int
}

// measureQueries compares a service with few tickets to one with many.
func (r *reads) measureQueries(ctx context.Context, engine string) (err error) {
	var sides [2]target
	for i, n := range []int{r.few, r.many} {
		begin := time.Now()
		s, err := r.serve(ctx, engine, 1)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.close()) }()
		if err := tickets.Record(ctx, s.events, n); err != nil {
			return err
		}
		if engine == postgreSQL {
			// Otherwise PostgreSQL would do both by itself within the next minutes, during a measurement.
			if err := r.executePostgres(ctx, s.name, "VACUUM (ANALYZE)", "CHECKPOINT"); err != nil {
				return err
			}
		}
		r.logf("%s: %d tickets recorded in %v", engine, n, time.Since(begin).Round(time.Second))
		sides[i] = target{s, n}
	}
	queries, err := r.queries(ctx, sides[0], sides[1])
	if err != nil {
		return err
	}
	for round := range r.Rounds + 1 {
		for _, q := range queries {
			base, compared, err := r.measureQuery(ctx, q, round%2)
			if err != nil {
				return fmt.Errorf("%s: %w", q.variant, err)
			}
			// The first round opens connections and fills caches.
			if round > 0 {
				r.results.add(figure{part: part{q.variant, engine, 1, q.callers}, unit: "µs", atMost: q.atMost}, compared, base)
			}
		}
		if round > 0 {
			r.logf("%s: calls compared, round %d of %d", engine, round, r.Rounds)
		}
	}
	return nil
}

// queries returns all queries.
func (r *reads) queries(ctx context.Context, few, many target) ([]query, error) {
	queries := []query{
		{"GetTicket", getAtMost, 1, few.get, many.get},
		{"GetTicket", getAtMost, concurrentCallers, few.get, many.get},
	}
	open := &ticketv1.TicketFilter{Statuses: []ticketv1.TicketStatus{
		ticketv1.TicketStatus_TICKET_STATUS_WAITING_FOR_AGENT, ticketv1.TicketStatus_TICKET_STATUS_WAITING_FOR_CUSTOMER,
		ticketv1.TicketStatus_TICKET_STATUS_WAITING_FOR_EXTERNAL,
	}}
	for _, list := range []*ticketv1.ListTicketsRequest{{OrderBy: "update_time desc"}, {OrderBy: "create_time"}, {Filter: open}} {
		token, err := many.skip(ctx, list, (r.page-1)*pageSize)
		if err != nil {
			return nil, err
		}
		variant := "ListTickets, " + cmp.Or(list.GetOrderBy(), "open ones")
		queries = append(queries, query{variant, pageAtMost, 1, many.list(list, ""), many.list(list, token)})
	}
	example := tickets.Created(0).GetTicket()
	for _, stats := range []struct {
		name   string
		filter *ticketv1.TicketFilter
	}{
		{"all", nil},
		{"of an app", &ticketv1.TicketFilter{AppIds: []string{example.GetAppId()}}},
		{"open ones", open},
		{"unassigned", &ticketv1.TicketFilter{Unassigned: true}},
		{"of a property", &ticketv1.TicketFilter{PropertyIds: []string{example.GetPropertyId()}}},
	} {
		queries = append(queries, query{"GetTicketStats, " + stats.name, statsAtMost, 1, few.stats(stats.filter), many.stats(stats.filter)})
	}
	return queries, nil
}

// get reads a random ticket.
func (t target) get(ctx context.Context) error {
	_, err := t.tickets.GetTicket(ctx, &ticketv1.GetTicketRequest{TicketId: tickets.ID(rand.IntN(t.size))})
	return err
}

func (t target) page(ctx context.Context, of *ticketv1.ListTicketsRequest, size int, token string) (*ticketv1.ListTicketsResponse, error) {
	page, err := t.tickets.ListTickets(ctx, &ticketv1.ListTicketsRequest{
		PageSize: int32(size), PageToken: token, Filter: of.GetFilter(), OrderBy: of.GetOrderBy(),
	})
	if err == nil && len(page.GetTickets()) != size {
		err = fmt.Errorf("a page has %d tickets, want %d", len(page.GetTickets()), size)
	}
	return page, err
}

// list returns a call that reads one page of a list.
func (t target) list(request *ticketv1.ListTicketsRequest, token string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := t.page(ctx, request, pageSize, token)
		return err
	}
}

// skip returns the token of the page after the first n tickets of a list.
func (t target) skip(ctx context.Context, request *ticketv1.ListTicketsRequest, n int) (token string, err error) {
	for left := n; left > 0; left -= longestPage {
		page, err := t.page(ctx, request, min(longestPage, left), token)
		if err != nil {
			return "", err
		}
		token = page.GetNextPageToken()
	}
	return token, nil
}

// stats returns a call of GetTicketStats.
func (t target) stats(filter *ticketv1.TicketFilter) func(context.Context) error {
	return func(ctx context.Context) error {
		response, err := t.tickets.GetTicketStats(ctx, &ticketv1.GetTicketStatsRequest{Filter: filter})
		if err == nil && response.GetTotalCount() == 0 {
			err = errors.New("there are no tickets to count")
		}
		return err
	}
}

// measureQuery returns the duration of each of the two calls in microseconds: the medians of many calls, made in turns. If several callers
// make the call at the same time, one duration is the time until all are done, divided by their number.
func (r *reads) measureQuery(ctx context.Context, q query, first int) (base, compared float64, err error) {
	calls, took := []func(context.Context) error{q.base, q.compared}, [2][]float64{}
	for range r.calls {
		for _, i := range []int{first, 1 - first} {
			begin := time.Now()
			if err := callTogether(ctx, calls[i], q.callers); err != nil {
				return 0, 0, err
			}
			took[i] = append(took[i], time.Since(begin).Seconds()*1e6/float64(q.callers))
		}
	}
	return median(took[0]), median(took[1]), nil
}

// callTogether makes a call from each of several callers at the same time.
func callTogether(ctx context.Context, call func(context.Context) error, callers int) error {
	group, ctx := errgroup.WithContext(ctx)
	for range callers {
		group.Go(func() error { return call(ctx) })
	}
	return group.Wait()
}
