package bench

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
)

const (
	// seeded is how many tickets there are before anything is measured.
	seeded = 2000
	// settled is how many tickets an update stays behind the newest: more than are under way, so that it never comes before its ticket.
	settled = recorders + 44
	// eventDigits is how many digits of an event's id are its number.
	eventDigits = 12
)

// source brings events to the first of some replicas: of three one creates a ticket, and two update one of the newest.
type source struct {
	services []*served
	// properties is over how many properties tickets are spread.
	properties int
	// next is the number of the next event.
	next atomic.Int64
	// created is the number of the next ticket.
	created atomic.Int64
}

// recorded returns how many events there were, when none is under way.
func (s *source) recorded() int { return int(s.next.Load()) }

// seed makes the first tickets.
func (s *source) seed(ctx context.Context) error {
	return s.together(ctx, func(ctx context.Context) (bool, error) {
		event := int(s.next.Add(1)) - 1
		if event >= seeded {
			s.next.Add(-1)
			return false, nil
		}
		return true, s.create(ctx, event)
	})
}

// recordFor records events as fast as it can for that long, and returns how many.
func (s *source) recordFor(ctx context.Context, length time.Duration) (events int, err error) {
	before, end := s.recorded(), time.Now().Add(length)
	err = s.together(ctx, func(ctx context.Context) (bool, error) {
		if time.Now().After(end) {
			return false, nil
		}
		return true, s.record(ctx, int(s.next.Add(1))-1)
	})
	return s.recorded() - before, err
}

// call is the recording of an event.
type call struct {
	event          int
	sent, answered time.Time
}

// recordAt records events at a steady rate, in events a second, for that long.
func (s *source) recordAt(ctx context.Context, rate float64, length time.Duration) ([]call, error) {
	first, begin := s.recorded(), time.Now()
	calls := make([]call, max(1, int(rate*length.Seconds())))
	err := s.together(ctx, func(ctx context.Context) (bool, error) {
		event := int(s.next.Add(1)) - 1
		i := event - first
		if i >= len(calls) {
			s.next.Add(-1)
			return false, nil
		}
		due := time.NewTimer(time.Until(begin.Add(time.Duration(float64(i) / rate * float64(time.Second)))))
		defer due.Stop()
		select {
		case <-due.C:
		case <-ctx.Done():
			return false, ctx.Err()
		}
		calls[i] = call{event: event, sent: time.Now()}
		err := s.record(ctx, event)
		calls[i].answered = time.Now()
		return true, err
	})
	return calls, err
}

// together calls f in several goroutines, each until it returns false.
func (s *source) together(ctx context.Context, f func(context.Context) (more bool, err error)) error {
	group, ctx := errgroup.WithContext(ctx)
	for range recorders {
		group.Go(func() error {
			for {
				if more, err := f(ctx); err != nil || !more {
					return err
				}
			}
		})
	}
	return group.Wait()
}

// record records the event of this number, of which the first ones were [source.seed]'s.
func (s *source) record(ctx context.Context, event int) error {
	if event%3 == 0 {
		return s.create(ctx, event)
	}
	number := int(s.created.Load()) - settled - event*7919%(seeded-2*settled)
	now := timestamppb.Now()
	response, err := s.services[0].forwarded.TicketUpdated(ctx, &ticketv1.TicketUpdatedRequest{
		Event: metadata(event, now),
		Ticket: &ticketv1.Ticket{
			TicketId: ticketID(number), StatusText: "waiting-for-customer", AssignedTo: "user-1", CommentCount: int32(event % 100), UpdateTime: now,
		},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"status_text", "assigned_to", "comment_count", "update_time"}},
	})
	return refuseDuplicate(event, response.GetDuplicate(), err)
}

func (s *source) create(ctx context.Context, event int) error {
	number := int(s.created.Add(1)) - 1
	now := timestamppb.Now()
	property := propertyID(number % s.properties)
	response, err := s.services[0].forwarded.TicketCreated(ctx, &ticketv1.TicketCreatedRequest{
		Event: metadata(event, now),
		Ticket: &ticketv1.Ticket{
			TicketId: ticketID(number), AppId: "82662ee4-0080-4960-8b8f-000000000001", IncrementId: strconv.Itoa(number),
			Title:       "Heizung im Bad kalt",
			Description: strings.Repeat("Seit gestern Abend bleibt der Heizkörper kalt. Bitte um Rückruf am Nachmittag. ", 4),
			StatusText:  "waiting-for-agent", CategoryId: "5d1f2c3b4a59687766550001", CreatedBy: "5b00c001", PropertyId: property, UnitName: "3.02",
			Channels: []string{"Property-" + property}, Labels: []string{"5e00aa01"}, Files: []string{"5e00ff01", "5e00ff02"},
			CreateTime: now, UpdateTime: now, Attributes: attributes,
		},
		FieldMask: &fieldmaskpb.FieldMask{Paths: []string{"app_id", "increment_id", "title", "description", "status_text", "category_id",
			"created_by", "property_id", "unit_name", "channels", "labels", "files", "create_time", "update_time", "attributes"}},
	})
	return refuseDuplicate(event, response.GetDuplicate(), err)
}

// attributes make tickets as large as the provider's: about 1.5 kB.
var attributes = func() map[string]string {
	all := map[string]string{}
	for _, name := range []string{"category", "conversations", "createdBy", "files", "group", "labels", "property", "unit"} {
		all["_embedded."+name] = `{"id":"5b00c001","name":"something","_links":{"self":{"href":"/api/v1/things/5b00c001"}}}`
	}
	return all
}()

func metadata(event int, at *timestamppb.Timestamp) *ticketv1.EventMetadata {
	// Knuth's multiplier: events have random ids at the provider.
	id := fmt.Sprintf("%08x-bench-%0*d", uint32(event)*2654435761, eventDigits, event)
	return &ticketv1.EventMetadata{EventId: id, OccurTime: at, ReceiveTime: at}
}

// eventNumber is the inverse of metadata.
func eventNumber(eventID string) (int, error) {
	return strconv.Atoi(eventID[max(0, len(eventID)-eventDigits):])
}

func ticketID(number int) string { return fmt.Sprintf("%08x5b7e4a5e00%06x", 0x6a000000+number, number) }

func refuseDuplicate(event int, duplicate bool, err error) error {
	if err == nil && duplicate {
		err = fmt.Errorf("event %d was recorded before", event)
	}
	return err
}
