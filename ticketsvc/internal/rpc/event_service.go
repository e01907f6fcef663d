package rpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketpb"
)

// eventService implements TicketEventService.
type eventService struct {
	recorder *ticket.Recorder
	store    ticket.Store
}

// maxPositions is how many positions of the log can be looked for at once.
const maxPositions = 1000

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
	return &ticketv1.TicketCreatedResponse{Duplicate: recorded.Duplicate, TicketErased: recorded.Erased,
		LogPosition: fromMark(s.store.DatabaseID(), recorded.LogEnd)}, nil
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
	return &ticketv1.TicketUpdatedResponse{Duplicate: recorded.Duplicate, TicketErased: recorded.Erased,
		LogPosition: fromMark(s.store.DatabaseID(), recorded.LogEnd)}, nil
}

// RecordTicketEvents implements the RPC of that name.
func (s *eventService) RecordTicketEvents(context.Context, *ticketv1.RecordTicketEventsRequest) (*ticketv1.RecordTicketEventsResponse, error) {
	return nil, connect.NewError(connect.CodeUnimplemented, errors.New("RecordTicketEvents is not implemented yet"))
}

// CheckLogPositions implements the RPC of that name.
//
// The last position is read first. Should the database be replaced by another one in between, the caller gets a last position that the
// next call reports as missing. The other way round it would get one of the new database, and never learn what the new one lacks. At a
// standby the log can grow in between: then the latest position that is held is the last one.
func (s *eventService) CheckLogPositions(ctx context.Context, request *ticketv1.CheckLogPositionsRequest,
) (*ticketv1.CheckLogPositionsResponse, error) {
	positions := request.GetPositions()
	if len(positions) > maxPositions {
		var violations ticket.Violations
		violations.Add("positions", fmt.Sprintf("must be at most %d", maxPositions))
		return nil, violations.Err()
	}
	last, err := s.store.LastMark(ctx)
	if err != nil {
		return nil, err
	}
	sequences := make([]int64, len(positions))
	for i, position := range positions {
		sequences[i] = position.GetSequence()
	}
	marks, err := s.store.MarksAt(ctx, sequences)
	if err != nil {
		return nil, err
	}
	database := s.store.DatabaseID()
	response := &ticketv1.CheckLogPositionsResponse{Last: fromMark(database, last)}
	for _, position := range positions {
		// Each database holds the beginning of its log, which no mark is stored for.
		held := fromMark(database, marks[position.GetSequence()])
		switch {
		case !proto.Equal(position, held):
			response.Missing = append(response.Missing, position)
		case held.GetSequence() > response.GetLast().GetSequence():
			response.Last = held
		}
	}
	return response, nil
}

// erasurePage is how many erasures ListErasures returns at most.
const erasurePage = 100

// errErasurePosition says that the log does not hold the position of a ListErasures.
var errErasurePosition = errors.New("the log does not hold the position of the erasures")

// ListErasures implements the RPC of that name.
func (s *eventService) ListErasures(ctx context.Context, request *ticketv1.ListErasuresRequest) (*ticketv1.ListErasuresResponse, error) {
	database := s.store.DatabaseID()
	var after ticket.Mark
	if position := request.GetPosition(); position != nil {
		if !bytes.Equal(position.GetDatabaseId(), database[:]) {
			return nil, errErasurePosition
		}
		after = toMark(position)
	}
	erasures, err := s.store.Erasures(ctx, after, erasurePage)
	if errors.Is(err, ticket.ErrNotFound) {
		return nil, errErasurePosition
	}
	if err != nil {
		return nil, err
	}
	response := &ticketv1.ListErasuresResponse{Position: request.GetPosition()}
	if len(erasures) > 0 {
		response.Position = fromMark(database, erasures[len(erasures)-1].Mark)
	}
	key := s.store.ErasureKey()
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
	key := s.store.ErasureKey()
	var repeated []string
	response := &ticketv1.RepeatErasuresResponse{}
	for i, id := range ids {
		if key.Verify(id, request.GetErasures()[i].GetReceipt()) {
			repeated = append(repeated, id)
		} else {
			response.RefusedTicketIds = append(response.RefusedTicketIds, id)
		}
	}
	if len(repeated) > 0 {
		_, err = s.store.Erase(ctx, repeated...)
	}
	return response, err
}

func fromMark(database ticket.DatabaseID, m ticket.Mark) *ticketv1.LogPosition {
	return &ticketv1.LogPosition{DatabaseId: database[:], Sequence: m.Sequence, Fingerprint: binary.BigEndian.Uint64(m.Fingerprint[:])}
}

func toMark(position *ticketv1.LogPosition) ticket.Mark {
	m := ticket.Mark{Sequence: position.GetSequence()}
	binary.BigEndian.PutUint64(m.Fingerprint[:], position.GetFingerprint())
	return m
}
