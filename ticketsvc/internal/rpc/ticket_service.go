package rpc

import (
	"context"
	"fmt"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketcodec"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketpb"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/watch"
)

// ticketService implements TicketService.
type ticketService struct {
	store   ticket.Store
	feed    *watch.Feed
	streams streamLimits
}

// GetTicket implements the RPC of that name.
func (s *ticketService) GetTicket(ctx context.Context, request *ticketv1.GetTicketRequest) (*ticketv1.GetTicketResponse, error) {
	id, err := ticketpb.ToTicketID(request.GetTicketId())
	if err != nil {
		return nil, err
	}
	var t ticket.Ticket
	memory := responseMemoryOf(ctx)
	if err := memory.read(ctx, false, func() (err error) {
		t, err = s.store.Get(ctx, id, memory.reserve)
		return err
	}); err != nil {
		return nil, fmt.Errorf("ticket %q: %w", id, err)
	}
	response := &ticketv1.GetTicketResponse{Ticket: ticketcodec.FromTicket(&t)}
	return response, memory.check(ctx, response, response.Ticket)
}

// BatchGetTickets implements the RPC of that name.
func (s *ticketService) BatchGetTickets(ctx context.Context, request *ticketv1.BatchGetTicketsRequest,
) (*ticketv1.BatchGetTicketsResponse, error) {
	ids, err := ticketpb.ToTicketIDs(request)
	if err != nil {
		return nil, err
	}
	var tickets map[string]ticket.Ticket
	memory := responseMemoryOf(ctx)
	if err := memory.read(ctx, len(ids) > cheapBatch, func() (err error) {
		tickets, err = s.store.BatchGet(ctx, ids, maxSendBytes, memory.reserve)
		return err
	}); err != nil {
		return nil, err
	}
	response := &ticketv1.BatchGetTicketsResponse{}
	for _, id := range ids {
		if t, ok := tickets[id]; ok {
			response.Tickets = append(response.Tickets, ticketcodec.FromTicket(&t))
		} else {
			response.MissingTicketIds = append(response.MissingTicketIds, id)
		}
	}
	return response, memory.check(ctx, response, response.Tickets...)
}

// ListTickets implements the RPC of that name.
func (s *ticketService) ListTickets(ctx context.Context, request *ticketv1.ListTicketsRequest) (*ticketv1.ListTicketsResponse, error) {
	query, err := ticketpb.ToListQuery(request)
	if err != nil {
		return nil, err
	}
	tokenQuery := listQuery(&query.Filter, query.Order)
	after, err := decodePageToken(tokenQuery, request.GetPageToken(), decodeCursor)
	if err != nil {
		return nil, err
	}
	var tickets []ticket.Ticket
	var more bool
	memory := responseMemoryOf(ctx)
	limit := ticket.PageLimit{Items: query.PageSize, Bytes: ticket.MaxPageBytes, Budget: memory.reserve}
	if err := memory.read(ctx, query.Filter.ScansToList(query.Order), func() (err error) {
		tickets, more, err = s.store.List(ctx, query.Filter, query.Order, after, limit)
		return err
	}); err != nil {
		return nil, err
	}
	response := &ticketv1.ListTicketsResponse{Tickets: make([]*ticketv1.Ticket, len(tickets))}
	for i := range tickets {
		response.Tickets[i] = ticketcodec.FromTicket(&tickets[i])
	}
	if more {
		response.NextPageToken = encodeToken(tokenQuery, encodeCursor(query.Order.Cursor(&tickets[len(tickets)-1])))
	}
	return response, memory.check(ctx, response, response.Tickets...)
}

// ListTicketEvents implements the RPC of that name.
func (s *ticketService) ListTicketEvents(ctx context.Context, request *ticketv1.ListTicketEventsRequest,
) (*ticketv1.ListTicketEventsResponse, error) {
	id, pageSize, err := ticketpb.ToEventQuery(request)
	if err != nil {
		return nil, err
	}
	tokenQuery := eventQuery(id)
	after, err := decodePageToken(tokenQuery, request.GetPageToken(), decodeSequence)
	if err != nil {
		return nil, err
	}
	if after == nil {
		after = new(int64)
	}
	var events []ticket.Event
	var more bool
	memory := responseMemoryOf(ctx)
	limit := ticket.PageLimit{Items: pageSize, Bytes: ticket.MaxPageBytes, Budget: memory.reserve}
	if err := memory.read(ctx, false, func() (err error) {
		events, more, err = s.store.ListEvents(ctx, id, *after, limit)
		return err
	}); err != nil {
		return nil, fmt.Errorf("ticket %q: %w", id, err)
	}
	response := &ticketv1.ListTicketEventsResponse{Events: make([]*ticketv1.TicketEvent, len(events))}
	for i := range events {
		response.Events[i] = ticketpb.FromEvent(&events[i])
	}
	if more {
		response.NextPageToken = encodeToken(tokenQuery, encodeSequence(events[len(events)-1].Sequence))
	}
	return response, memory.check(ctx, response)
}

// GetTicketStats implements the RPC of that name.
func (s *ticketService) GetTicketStats(ctx context.Context, request *ticketv1.GetTicketStatsRequest,
) (*ticketv1.GetTicketStatsResponse, error) {
	filter, err := ticketpb.ToFilter(request.GetFilter())
	if err != nil {
		return nil, err
	}
	var stats ticket.Stats
	if err := responseMemoryOf(ctx).read(ctx, !filter.SelectsGroups(), func() (err error) {
		stats, err = s.store.Stats(ctx, filter)
		return err
	}); err != nil {
		return nil, err
	}
	return ticketpb.FromStats(&stats), nil
}

// EraseTicket implements the RPC of that name.
func (s *ticketService) EraseTicket(ctx context.Context, request *ticketv1.EraseTicketRequest) (*ticketv1.EraseTicketResponse, error) {
	id, err := ticketpb.ToTicketID(request.GetTicketId())
	if err != nil {
		return nil, err
	}
	events, err := s.store.Erase(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("ticket %q: %w", id, err)
	}
	return &ticketv1.EraseTicketResponse{ErasedEventCount: events}, nil
}

// decodePageToken returns the position of a page token, and nil for an empty token. The error is a [*ticket.InvalidError].
func decodePageToken[P any](query []byte, token string, decode func([]byte) (P, bool)) (*P, error) {
	if token == "" {
		return nil, nil
	}
	if raw, ok := decodeToken(query, token); ok {
		if position, ok := decode(raw); ok {
			return &position, nil
		}
	}
	var violations ticket.Violations
	violations.Add("page_token", "must be the next_page_token of a page of the same query")
	return nil, violations.Err()
}
