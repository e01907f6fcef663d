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
	// recorders is how many events are under way at the same time at most.
	recorders = manyConnections
	// settled is the least distance of an updated ticket to the newest one: more than are under way, so that its creation was answered.
	// updated is how many of the tickets before that are updated.
	settled, updated = recorders + 44, 1400
	// eventDigits is how many digits of an event's id are its number.
	eventDigits = 12
)

// source records events: of three, one creates a ticket and two update one of the newest. As long as there are few tickets, all create one.
type source struct {
	*system
	// properties is the number of properties over which tickets are spread.
	properties int

	// mu guards next, the number of the next event, and created, the number of the next ticket.
	mu            sync.Mutex
	next, created int
}

// newSource starts replicas on a new database. The caller has to call close, unless there is an error.
func (r *reads) newSource(ctx context.Context, engine string, replicas int) (*source, error) {
	s, err := r.serve(ctx, engine, replicas)
	return &source{system: s, properties: r.watchers}, err
}

// recordFor records events as fast as it can for that long.
func (s *source) recordFor(ctx context.Context, length time.Duration) error {
	end := time.Now().Add(length)
	return s.run(ctx, func() bool { return time.Now().Before(end) }, s.record)
}

// recordAt records events at a steady rate, in events a second, for that long. It returns when each was answered.
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

// run has all recorders bring the next events, as long as there are more, which it asks for one event at a time.
func (s *source) run(ctx context.Context, more func() bool, bring func(ctx context.Context, event int) error) error {
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
				if err := bring(ctx, event); err != nil {
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
		// As large as the provider's, about 1.5 kB, and with a property that a watcher may have.
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

// eventNumber returns the number of the event with this id.
func eventNumber(id string) (int, error) { return strconv.Atoi(id[max(0, len(id)-eventDigits):]) }

func propertyID(number int) string { return "property-" + strconv.Itoa(number) }
