package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/internal/testkit/tickets"
)

const (
	// recorders is the maximum number of events in flight at the same time.
	recorders = manyConnections
	// settled is the minimum distance of an updated ticket to the newest one. It is more than the events in flight, so that the creation of
	// the ticket was answered. updated is the number of tickets before that distance that get updates.
	settled, updated = recorders + 44, 1400
	// eventDigits is the number of digits at the end of an event's id that are its number.
	eventDigits = 12
)

// source records events. One event of three creates a ticket, and two update a recent ticket. While there are few tickets, each event
// creates one.
type source struct {
	*system
	// properties is the number of properties over which tickets are spread.
	properties int

	// mu guards next, the number of the next event, and created, the number of the next ticket.
	mu            sync.Mutex
	next, created int
}

// newSource starts replicas on a new database. The caller must call close, except after an error.
func (r *reads) newSource(ctx context.Context, engine string, replicas int) (*source, error) {
	s, err := r.serve(ctx, engine, replicas)
	return &source{system: s, properties: r.watchers}, err
}

// recordFor records events as fast as possible for this time.
func (s *source) recordFor(ctx context.Context, length time.Duration) error {
	end := time.Now().Add(length)
	return s.run(ctx, func() bool { return time.Now().Before(end) }, s.record)
}

// recordAt records events at a steady rate, in events a second, for this time. It returns the time of the answer for each event.
func (s *source) recordAt(ctx context.Context, rate int, length time.Duration) (answered []time.Time, err error) {
	begin := time.Now()
	answered = make([]time.Time, max(1, int(float64(rate)*length.Seconds())))
	return answered, s.run(ctx, func() bool { return s.next < len(answered) }, func(ctx context.Context, event int) error {
		due := time.NewTimer(time.Until(begin.Add(time.Duration(event) * time.Second / time.Duration(rate))))
		defer due.Stop()
		select {
		case <-due.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		err := s.record(ctx, event)
		answered[event] = time.Now()
		return err
	})
}

// run calls record for the next events, from all recorders at the same time, as long as more returns true.
func (s *source) run(ctx context.Context, more func() bool, record func(ctx context.Context, event int) error) error {
	take := func() (event int, ok bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !more() {
			return 0, false
		}
		s.next++
		return s.next - 1, true
	}
	group, ctx := errgroup.WithContext(ctx)
	for range recorders {
		group.Go(func() error {
			for {
				event, ok := take()
				if !ok {
					return nil
				}
				if err := record(ctx, event); err != nil {
					return fmt.Errorf("recording event %d: %w", event, err)
				}
			}
		})
	}
	return group.Wait()
}

func (s *source) record(ctx context.Context, event int) (err error) {
	s.mu.Lock()
	number, create := s.created, event%3 == 0 || s.created < settled+updated
	if create {
		s.created++
	} else {
		number -= settled + event*7919%updated
	}
	s.mu.Unlock()
	now := timestamppb.Now()
	// Knuth's multiplier: events have random ids at the provider.
	id := fmt.Sprintf("%08x-bench-%0*d", uint32(event)*2654435761, eventDigits, event)
	metadata := &ticketv1.EventMetadata{EventId: id, OccurTime: now, ReceiveTime: now}
	request := tickets.Created(number)
	if create {
		// As large as an event of the provider, about 1.5 kB, and with a property for which a watcher may filter.
		request.Event, request.Ticket.PropertyId, request.Ticket.Attributes = metadata, propertyID(number%s.properties), attributes
		request.FieldMask.Paths = append(request.FieldMask.Paths, "attributes")
		_, err = s.events.TicketCreated(ctx, request)
		return err
	}
	request.Ticket.CommentCount, request.Ticket.UpdateTime = int32(event), now
	_, err = s.events.TicketUpdated(ctx, &ticketv1.TicketUpdatedRequest{Event: metadata, Ticket: request.GetTicket(),
		FieldMask: &fieldmaskpb.FieldMask{Paths: []string{"status_text", "assignee_id", "comment_count", "update_time"}}})
	return err
}

var attributes = func() map[string]string {
	all := map[string]string{}
	for _, name := range []string{"category", "conversations", "createdBy", "files", "group", "labels", "property", "unit"} {
		all["_embedded."+name] = `{"id":"5b00c001","name":"something","_links":{"self":{"href":"/api/v1/things/5b00c001"}}}`
	}
	return all
}()

// eventNumber returns the number of an event by its id.
func eventNumber(id string) (int, error) { return strconv.Atoi(id[max(0, len(id)-eventDigits):]) }

func propertyID(number int) string { return "property-" + strconv.Itoa(number) }
