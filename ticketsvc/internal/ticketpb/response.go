// Package ticketpb converts requests, events and statistics between the contract's messages and the types of package ticket.
package ticketpb

import (
	"maps"
	"slices"

	"google.golang.org/protobuf/types/known/fieldmaskpb"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketcodec"
)

// FromEvent returns the contract's message for e.
func FromEvent(e *ticket.Event) *ticketv1.TicketEvent {
	return &ticketv1.TicketEvent{
		EventId:       e.EventID,
		EventName:     string(e.Name),
		TicketId:      e.TicketID,
		OccurTime:     ticketcodec.FromInstant(e.OccurTime),
		ReceiveTime:   ticketcodec.FromInstant(e.ReceiveTime),
		ChangedFields: &fieldmaskpb.FieldMask{Paths: e.ChangedFields.FieldNames()},
		Outcome:       ticketv1.TicketEventOutcome(e.Outcome),
		Sequence:      e.Sequence,
	}
}

// FromStats returns the contract's message for s, with the statuses in the order of their numbers.
func FromStats(s *ticket.Stats) *ticketv1.GetTicketStatsResponse {
	response := &ticketv1.GetTicketStatsResponse{TotalCount: s.Total, UnassignedCount: s.Unassigned}
	for _, status := range slices.Sorted(maps.Keys(s.ByStatus)) {
		response.StatusCounts = append(response.StatusCounts,
			&ticketv1.TicketStatusCount{Status: ticketv1.TicketStatus(status), Count: s.ByStatus[status]})
	}
	if w := s.LongestWaiting; w != nil {
		response.LongestWaiting = &ticketv1.LongestWaiting{TicketId: w.TicketID, WaitingSinceTime: ticketcodec.FromInstant(w.Since)}
	}
	return response
}
