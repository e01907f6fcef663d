package rpc

import (
	"context"
	"errors"
	"fmt"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/internal/groupcommit"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketpb"
)

const (
	// maxBatch is how many events share a commit at the most. There a commit's fixed cost is about a microsecond per event, and in
	// a larger batch the first would wait longer for the last.
	maxBatch = 256
	// maxQueue is how many events wait at the most: what is recorded in about a second, before callers give up.
	maxQueue = 4096
)

// recorder records events, those of concurrent calls in one transaction.
type recorder = groupcommit.Committer[ticket.Change, ticket.Recorded]

func newRecorder(store ticket.Store) *recorder {
	return groupcommit.New(store.Record, groupcommit.Options{
		MaxBatch: maxBatch,
		MaxQueue: maxQueue,
		// When the database is away it is so for all of them.
		MayBeItemsFault: func(err error) bool { return !errors.Is(err, ticket.ErrUnavailable) },
	})
}

// eventService implements TicketEventService.
type eventService struct {
	recorder *recorder
}

// TicketCreated implements the RPC of that name.
func (s *eventService) TicketCreated(ctx context.Context, request *ticketv1.TicketCreatedRequest) (*ticketv1.TicketCreatedResponse, error) {
	change, err := ticketpb.ToCreated(request)
	if err != nil {
		return nil, err
	}
	duplicate, err := s.record(ctx, change)
	if err != nil {
		return nil, err
	}
	return &ticketv1.TicketCreatedResponse{Duplicate: duplicate}, nil
}

// TicketUpdated implements the RPC of that name.
func (s *eventService) TicketUpdated(ctx context.Context, request *ticketv1.TicketUpdatedRequest) (*ticketv1.TicketUpdatedResponse, error) {
	change, err := ticketpb.ToUpdated(request)
	if err != nil {
		return nil, err
	}
	duplicate, err := s.record(ctx, change)
	if err != nil {
		return nil, err
	}
	return &ticketv1.TicketUpdatedResponse{Duplicate: duplicate}, nil
}

func (s *eventService) record(ctx context.Context, change ticket.Change) (duplicate bool, err error) {
	recorded, err := s.recorder.Do(ctx, change)
	if err == nil {
		err = recorded.Err
	}
	if err != nil {
		return false, fmt.Errorf("event %q of ticket %q: %w", change.EventID, change.TicketID, err)
	}
	return recorded.Duplicate, nil
}
