// Package ticketpb carries requests, tickets and events between the contract's messages and the rules in package ticket.
package ticketpb

import (
	"maps"
	"slices"

	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// FromTicket returns the contract's message for t. It shares t's lists and maps.
func FromTicket(t *ticket.Ticket) *ticketv1.Ticket {
	return &ticketv1.Ticket{
		TicketId:             t.ID,
		AppId:                t.AppID,
		IncrementId:          t.IncrementID,
		Title:                t.Title,
		Description:          t.Description,
		Status:               ticketv1.TicketStatus(t.Status),
		StatusText:           t.StatusText,
		CategoryId:           t.CategoryID,
		AssigneeId:           t.AssigneeID,
		CreatorId:            t.CreatorID,
		PropertyId:           t.PropertyID,
		UnitName:             t.UnitName,
		Channels:             t.Channels,
		LabelIds:             t.LabelIDs,
		Tags:                 t.Tags,
		FileIds:              t.FileIDs,
		PhoneNumber:          t.PhoneNumber,
		CustomSettings:       fromCustomSettings(t.CustomSettings),
		CommentCount:         t.CommentCount,
		CreateTime:           fromInstant(t.CreateTime),
		UpdateTime:           fromInstant(t.UpdateTime),
		LastStatusUpdateTime: fromInstant(t.LastStatusUpdateTime),
		Attributes:           t.Attributes,
		Revision:             t.Revision,
		Complete:             t.Complete,
	}
}

// toTicket returns m's fields that events can name. It shares m's lists and maps.
func toTicket(m *ticketv1.Ticket) ticket.Ticket {
	return ticket.Ticket{
		AppID:                m.GetAppId(),
		IncrementID:          m.GetIncrementId(),
		Title:                m.GetTitle(),
		Description:          m.GetDescription(),
		StatusText:           m.GetStatusText(),
		CategoryID:           m.GetCategoryId(),
		AssigneeID:           m.GetAssigneeId(),
		CreatorID:            m.GetCreatorId(),
		PropertyID:           m.GetPropertyId(),
		UnitName:             m.GetUnitName(),
		Channels:             m.GetChannels(),
		LabelIDs:             m.GetLabelIds(),
		Tags:                 m.GetTags(),
		FileIDs:              m.GetFileIds(),
		PhoneNumber:          m.GetPhoneNumber(),
		CustomSettings:       toCustomSettings(m.GetCustomSettings()),
		CommentCount:         m.GetCommentCount(),
		CreateTime:           toInstant(m.GetCreateTime()),
		UpdateTime:           toInstant(m.GetUpdateTime()),
		LastStatusUpdateTime: toInstant(m.GetLastStatusUpdateTime()),
	}
}

func fromCustomSettings(settings []ticket.CustomSetting) []*ticketv1.CustomSetting {
	if len(settings) == 0 {
		return nil
	}
	messages := make([]*ticketv1.CustomSetting, len(settings))
	for i, s := range settings {
		messages[i] = &ticketv1.CustomSetting{Key: s.Key, Type: s.Type, Attributes: s.Attributes}
		switch s.Kind {
		case ticket.TextValue:
			messages[i].SettingValue = &ticketv1.CustomSetting_Value{Value: s.Value}
		case ticket.JSONValue:
			messages[i].SettingValue = &ticketv1.CustomSetting_ValueJson{ValueJson: s.Value}
		case ticket.NoValue:
		}
	}
	return messages
}

func toCustomSettings(messages []*ticketv1.CustomSetting) []ticket.CustomSetting {
	if len(messages) == 0 {
		return nil
	}
	settings := make([]ticket.CustomSetting, len(messages))
	for i, m := range messages {
		settings[i] = ticket.CustomSetting{Key: m.GetKey(), Type: m.GetType(), Attributes: m.GetAttributes()}
		switch kind := m.GetSettingValue().(type) {
		case *ticketv1.CustomSetting_Value:
			settings[i].Kind, settings[i].Value = ticket.TextValue, kind.Value
		case *ticketv1.CustomSetting_ValueJson:
			settings[i].Kind, settings[i].Value = ticket.JSONValue, kind.ValueJson
		}
	}
	return settings
}

// FromEvent returns the contract's message for e.
func FromEvent(e *ticket.Event) *ticketv1.TicketEvent {
	return &ticketv1.TicketEvent{
		EventId:       e.EventID,
		EventName:     string(e.Name),
		TicketId:      e.TicketID,
		OccurTime:     fromInstant(e.OccurTime),
		ReceiveTime:   fromInstant(e.ReceiveTime),
		ChangedFields: &fieldmaskpb.FieldMask{Paths: e.Content.FieldNames()},
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
		response.LongestWaiting = &ticketv1.LongestWaiting{TicketId: w.TicketID, WaitingSinceTime: fromInstant(w.Since)}
	}
	return response
}

func fromInstant(i ticket.Instant) *timestamppb.Timestamp {
	if !i.Set {
		return nil
	}
	return &timestamppb.Timestamp{Seconds: i.Seconds, Nanos: i.Nanos}
}

// toInstant returns the instant of m, which may be one that is not valid.
func toInstant(m *timestamppb.Timestamp) ticket.Instant {
	if m == nil {
		return ticket.Instant{}
	}
	return ticket.Instant{Set: true, Seconds: m.GetSeconds(), Nanos: m.GetNanos()}
}
