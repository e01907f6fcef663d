package rpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/internal/elements"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketpb"
)

// eventService implements TicketEventService.
type eventService struct {
	ingester *ticket.Ingester
	store    ticket.Store
	errors   errorMapper
}

// TicketCreated implements the RPC of that name.
func (s *eventService) TicketCreated(ctx context.Context, request *ticketv1.TicketCreatedRequest) (*ticketv1.TicketCreatedResponse, error) {
	change, err := ticketpb.ToCreated(request)
	if err != nil {
		return nil, err
	}
	recorded, err := s.ingester.Append(ctx, change)
	if err != nil {
		return nil, err
	}
	return s.createdResponse(&recorded), nil
}

// TicketUpdated implements the RPC of that name.
func (s *eventService) TicketUpdated(ctx context.Context, request *ticketv1.TicketUpdatedRequest) (*ticketv1.TicketUpdatedResponse, error) {
	change, err := ticketpb.ToUpdated(request)
	if err != nil {
		return nil, err
	}
	recorded, err := s.ingester.Append(ctx, change)
	if err != nil {
		return nil, err
	}
	return s.updatedResponse(&recorded), nil
}

func (s *eventService) createdResponse(r *ticket.AppendResult) *ticketv1.TicketCreatedResponse {
	return &ticketv1.TicketCreatedResponse{Duplicate: r.Duplicate, TicketErased: r.Erased,
		LogPosition: fromLogPosition(s.store.DatabaseID(), r.LogEnd)}
}

func (s *eventService) updatedResponse(r *ticket.AppendResult) *ticketv1.TicketUpdatedResponse {
	return &ticketv1.TicketUpdatedResponse{Duplicate: r.Duplicate, TicketErased: r.Erased,
		LogPosition: fromLogPosition(s.store.DatabaseID(), r.LogEnd)}
}

// maxResultBytes is the approximate maximum size of the result of an event: the sum of its sizes in memory and as it is sent. An error has
// the ids of the event and the ticket, and all violations of the event.
const maxResultBytes = 4 << 10

// RecordTicketEvents implements the RPC of that name.
func (s *eventService) RecordTicketEvents(ctx context.Context, request *ticketv1.RecordTicketEventsRequest,
) (*ticketv1.RecordTicketEventsResponse, error) {
	events := request.GetEvents()
	if err := responseMemoryOf(ctx).grant.Grow(ctx, int64(len(events)*maxResultBytes)); err != nil {
		return nil, err
	}
	results := make([]*ticketv1.TicketEventResult, len(events))
	// indexes has the index of the event of each change.
	changes, indexes := make([]ticket.Change, 0, len(events)), make([]int, 0, len(events))
	body := ctx.Value(requestKey{}).(*requestBody)
	for i, event := range events {
		err := body.checkEvent(i)
		var change ticket.Change
		if err == nil {
			change, err = ticketpb.ToChange(event)
		}
		if err != nil {
			results[i] = s.failure(ctx, err)
			continue
		}
		changes, indexes = append(changes, change), append(indexes, i)
	}
	recorded, err := s.ingester.AppendAll(ctx, changes)
	if err != nil {
		return nil, err
	}
	for i := range recorded {
		results[indexes[i]] = s.result(ctx, events[indexes[i]], &recorded[i])
	}
	return &ticketv1.RecordTicketEventsResponse{Results: results}, nil
}

// result returns the result of an event that was handed to the ingester.
func (s *eventService) result(ctx context.Context, event *ticketv1.TicketEventRequest, r *ticket.AppendResult) *ticketv1.TicketEventResult {
	switch {
	case r.Err != nil:
		return s.failure(ctx, r.Err)
	case event.GetCreated() != nil:
		return &ticketv1.TicketEventResult{Result: &ticketv1.TicketEventResult_Created{Created: s.createdResponse(r)}}
	default:
		return &ticketv1.TicketEventResult{Result: &ticketv1.TicketEventResult_Updated{Updated: s.updatedResponse(r)}}
	}
}

// failure returns the result of an event that was not recorded. The error is the one that a call for this event alone would return.
func (s *eventService) failure(ctx context.Context, err error) *ticketv1.TicketEventResult {
	wire := s.errors.mapError(ctx, connect.Spec{Procedure: ticketv1connect.TicketEventServiceRecordTicketEventsProcedure}, err)
	failure := &ticketv1.TicketEventError{Code: int32(wire.Code()), Message: wire.Message()}
	for _, detail := range wire.Details() {
		// The service made the details, so each has a value.
		switch value, _ := detail.Value(); value := value.(type) {
		case *errdetails.RetryInfo:
			failure.RetryDelay = value.GetRetryDelay()
		case *errdetails.ErrorInfo:
			failure.Reason = value.GetReason()
		}
	}
	return &ticketv1.TicketEventResult{Result: &ticketv1.TicketEventResult_Error{Error: failure}}
}

// CheckLogPositions implements the RPC of that name.
//
// It reads the last position first. If another database replaces this one between the two reads, the caller gets a last position of the old
// database, and the next call reports that position as missing. In the other order the caller would get a position of the new database, and
// would never notice the events that the new database lacks. The log of a standby can grow between the reads: then the last position is the
// latest position of the request that the log holds.
func (s *eventService) CheckLogPositions(ctx context.Context, request *ticketv1.CheckLogPositionsRequest,
) (*ticketv1.CheckLogPositionsResponse, error) {
	positions := request.GetPositions()
	if len(positions) > elements.MaxLogPositions {
		var violations ticket.Violations
		violations.Add("positions", fmt.Sprintf("must be at most %d", elements.MaxLogPositions))
		return nil, violations.Err()
	}
	last, err := s.store.LastPosition(ctx)
	if err != nil {
		return nil, err
	}
	sequences := make([]int64, len(positions))
	for i, position := range positions {
		sequences[i] = position.GetSequence()
	}
	held, err := s.store.PositionsAt(ctx, sequences)
	if err != nil {
		return nil, err
	}
	database := s.store.DatabaseID()
	response := &ticketv1.CheckLogPositionsResponse{Last: fromLogPosition(database, last)}
	for _, position := range positions {
		// The zero position, the beginning, is not stored, and every log holds it.
		here := fromLogPosition(database, held[position.GetSequence()])
		switch {
		case !proto.Equal(position, here):
			response.Missing = append(response.Missing, position)
		case here.GetSequence() > response.GetLast().GetSequence():
			response.Last = here
		}
	}
	return response, nil
}

// erasurePage is the maximum number of erasures in a response of ListErasures.
const erasurePage = 100

// ListErasures implements the RPC of that name.
func (s *eventService) ListErasures(ctx context.Context, request *ticketv1.ListErasuresRequest) (*ticketv1.ListErasuresResponse, error) {
	database := s.store.DatabaseID()
	var after ticket.LogPosition
	if position := request.GetPosition(); position != nil {
		if !bytes.Equal(position.GetDatabaseId(), database[:]) {
			return nil, ticket.ErrPositionNotFound
		}
		after = toLogPosition(position)
	}
	erasures, err := s.store.ListErasures(ctx, after, erasurePage)
	if err != nil {
		return nil, err
	}
	response := &ticketv1.ListErasuresResponse{Position: request.GetPosition()}
	if len(erasures) > 0 {
		response.Position = fromLogPosition(database, erasures[len(erasures)-1].Position)
	}
	key := s.store.ReceiptKey()
	for _, e := range erasures {
		response.Erasures = append(response.Erasures, &ticketv1.Erasure{TicketId: e.TicketID, Receipt: key.Receipt(e.TicketID)})
	}
	return response, nil
}

// RepeatErasures implements the RPC of that name.
func (s *eventService) RepeatErasures(ctx context.Context, request *ticketv1.RepeatErasuresRequest,
) (*ticketv1.RepeatErasuresResponse, error) {
	ids, err := ticketpb.ToErasures(request)
	if err != nil {
		return nil, err
	}
	key := s.store.ReceiptKey()
	var repeated []string
	response := &ticketv1.RepeatErasuresResponse{}
	for i, ticketID := range ids {
		if key.Verify(ticketID, request.GetErasures()[i].GetReceipt()) {
			repeated = append(repeated, ticketID)
		} else {
			response.RefusedTicketIds = append(response.RefusedTicketIds, ticketID)
		}
	}
	if len(repeated) > 0 {
		_, err = s.store.Erase(ctx, repeated...)
	}
	return response, err
}

func fromLogPosition(database ticket.DatabaseID, p ticket.LogPosition) *ticketv1.LogPosition {
	return &ticketv1.LogPosition{DatabaseId: database[:], Sequence: p.Sequence, Fingerprint: binary.BigEndian.Uint64(p.Fingerprint[:])}
}

func toLogPosition(message *ticketv1.LogPosition) ticket.LogPosition {
	p := ticket.LogPosition{Sequence: message.GetSequence()}
	binary.BigEndian.PutUint64(p.Fingerprint[:], message.GetFingerprint())
	return p
}
