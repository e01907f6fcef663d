// Package tickets fills ticketsvc with very many tickets, for benchmarks and for tests of large databases. A ticket is determined by its
// number.
package tickets

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
)

const (
	// All tickets together have this number of apps, categories and users. Each property has ticketsOfProperty tickets.
	apps              = 5
	categories        = 40
	users             = 500
	ticketsOfProperty = 200

	// opened is the time at which the first ticket was opened, in seconds since 1970. openedEvery is the time between two tickets, in seconds.
	opened, openedEvery = 1_750_000_000, 30
	// changedWithin is the maximum time from a ticket's opening to its last change: four weeks, in seconds.
	changedWithin = 4 * 7 * 24 * 60 * 60

	// batch is the number of events in one call, and callers is the number of concurrent calls.
	batch, callers = 512, 4
)

// Record records the tickets 0 to n-1. It returns the first error of a call or of an event.
func Record(ctx context.Context, client ticketv1connect.TicketEventServiceClient, n int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(callers)
	for first := 0; first < n; first += batch {
		group.Go(func() error {
			request := &ticketv1.RecordTicketEventsRequest{}
			for number := first; number < min(first+batch, n); number++ {
				request.Events = append(request.Events,
					&ticketv1.TicketEventRequest{Request: &ticketv1.TicketEventRequest_Created{Created: Created(number)}})
			}
			response, err := client.RecordTicketEvents(ctx, request)
			if err != nil {
				return fmt.Errorf("recording tickets from %d on: %w", first, err)
			}
			for i, result := range response.GetResults() {
				if failure := result.GetError(); failure != nil {
					return fmt.Errorf("recording ticket %d: %s", first+i, failure.GetMessage())
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// ID returns the id of the ticket with that number. Ids grow with the numbers, as the provider's ids grow with time.
func ID(number int) string { return fmt.Sprintf("%08x5b7e4a5e00%06x", openedAt(number), number) }

func openedAt(number int) int64 { return opened + openedEvery*int64(number) }

// Created returns the creation of the ticket with that number. Four of five tickets are closed, and a quarter of the others is assigned to
// nobody. A ticket has half a kilobyte, less than a real ticket, so that the time to read a ticket hides little of the time to find it.
func Created(number int) *ticketv1.TicketCreatedRequest {
	// 7919 is prime, so any 500 successive tickets have 500 users. The combinations of app, category, user and status repeat after 21,000
	// tickets: the least common multiple of their periods.
	spread := number * 7919
	created := &timestamppb.Timestamp{Seconds: openedAt(number)}
	// With Knuth's multiplier the order of the last changes differs from the order of the openings.
	updated := &timestamppb.Timestamp{Seconds: created.Seconds + int64(uint32(number)*2654435761)%changedWithin}
	property := fmt.Sprintf("property-%d", number/ticketsOfProperty)
	ticket := &ticketv1.Ticket{
		TicketId:    ID(number),
		AppId:       fmt.Sprintf("82662ee4-0080-4960-8b8f-%012d", spread/7%apps),
		IncrementId: fmt.Sprint(number),
		Title:       "Heizung im Bad kalt",
		Description: "Seit gestern Abend bleibt der Heizkörper kalt. Bereits zweimal entlüftet, es hilft nichts. Bitte um Rückruf.",
		StatusText:  "closed",
		CategoryId:  fmt.Sprintf("5d1f2c3b4a596877%08d", spread/3%categories),
		AssigneeId:  fmt.Sprintf("user-%d", spread%users),
		CreatorId:   fmt.Sprintf("tenant-%d", number/3),
		PropertyId:  property,
		UnitName:    fmt.Sprintf("%d.%02d", number%7, number%31),
		Channels:    []string{"P" + property[1:]},
		CreateTime:  created, UpdateTime: updated, LastStatusUpdateTime: updated,
	}
	if number%5 == 0 {
		ticket.StatusText = [...]string{"waiting-for-agent", "waiting-for-customer", "waiting-for-external"}[spread%3]
		if number%4 == 0 {
			ticket.AssigneeId = ""
		}
	}
	return &ticketv1.TicketCreatedRequest{
		Event:  &ticketv1.EventMetadata{EventId: fmt.Sprintf("fill-%012d", number), OccurTime: updated},
		Ticket: ticket,
		FieldMask: &fieldmaskpb.FieldMask{Paths: []string{"app_id", "increment_id", "title", "description", "status_text", "category_id",
			"assignee_id", "creator_id", "property_id", "unit_name", "channels", "create_time", "update_time", "last_status_update_time"}},
	}
}
