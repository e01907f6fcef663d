package rpc

import (
	"context"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketpb"
)

// eventService implements TicketEventService.
type eventService struct {
	recorder *ticket.Recorder
}

// TicketCreated implements the RPC of that name.
func (s *eventService) TicketCreated(ctx context.Context, request *ticketv1.TicketCreatedRequest) (*ticketv1.TicketCreatedResponse, error) {
	change, err := ticketpb.ToCreated(request)
	if err != nil {
		return nil, err
	}
	recorded, err := s.recorder.Record(ctx, change)
	if err != nil {
		return nil, err
	}
	return &ticketv1.TicketCreatedResponse{Duplicate: recorded.Duplicate, TicketErased: recorded.Erased}, nil
}

// TicketUpdated implements the RPC of that name.
func (s *eventService) TicketUpdated(ctx context.Context, request *ticketv1.TicketUpdatedRequest) (*ticketv1.TicketUpdatedResponse, error) {
	change, err := ticketpb.ToUpdated(request)
	if err != nil {
		return nil, err
	}
	recorded, err := s.recorder.Record(ctx, change)
	if err != nil {
		return nil, err
	}
	return &ticketv1.TicketUpdatedResponse{Duplicate: recorded.Duplicate, TicketErased: recorded.Erased}, nil
}
