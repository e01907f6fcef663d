package event

import (
	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
)

// field is a field of a ticket that the SDK knows.
type field struct {
	// name is the provider's name of the field.
	name string
	// path is where the value goes.
	path path
	// read puts it there. Nil for a field that Ticket does not model, which is an attribute.
	read reader
	// shape is how a change of the field is told from a value.
	shape shape
}

// fields are the fields that the SDK's ticket has, by the provider's names, and createdBy: the SDK has that only in _embedded, but were
// it to come beside the others, a user's data must not end up among the attributes.
var fields = byName(
	field{"assignedTo", assignedTo, idInto(func(t *ticketv1.Ticket) *string { return &t.AssigneeId }), scalar},
	field{"category", categoryID, idInto(func(t *ticketv1.Ticket) *string { return &t.CategoryId }), scalar},
	field{"channels", channels, stringsInto(func(t *ticketv1.Ticket) *[]string { return &t.Channels }), listOfTexts},
	field{"commentCount", commentCount, readCount, scalar},
	field{"createdAt", createTime, dateInto(func(t *ticketv1.Ticket) **timestamp { return &t.CreateTime }), scalar},
	field{"createdBy", createdBy, idInto(func(t *ticketv1.Ticket) *string { return &t.CreatorId }), scalar},
	field{"customSettings", customSettings, readCustomSettings, listOfSettings},
	field{"description", description, stringInto(func(t *ticketv1.Ticket) *string { return &t.Description }), scalar},
	field{"files", files, idsInto(func(t *ticketv1.Ticket) *[]string { return &t.FileIds }), listOfTexts},
	field{"incrementID", incrementID, numberInto(func(t *ticketv1.Ticket) *string { return &t.IncrementId }), scalar},
	field{"labels", labels, idsInto(func(t *ticketv1.Ticket) *[]string { return &t.LabelIds }), listOfTexts},
	field{"lastStatusUpdate", lastStatusUpdateTime, dateInto(func(t *ticketv1.Ticket) **timestamp { return &t.LastStatusUpdateTime }),
		scalar},
	field{"phoneNumber", phoneNumber, stringInto(func(t *ticketv1.Ticket) *string { return &t.PhoneNumber }), scalar},
	field{"status", statusText, stringInto(func(t *ticketv1.Ticket) *string { return &t.StatusText }), scalar},
	field{"tags", tags, stringsInto(func(t *ticketv1.Ticket) *[]string { return &t.Tags }), listOfTexts},
	field{"title", title, stringInto(func(t *ticketv1.Ticket) *string { return &t.Title }), scalar},
	field{"updatedAt", updateTime, dateInto(func(t *ticketv1.Ticket) **timestamp { return &t.UpdateTime }), scalar},

	field{name: "channelPaths", shape: listOfPaths},
	field{name: "customerWaitingSince", shape: scalar},
	field{name: "customerWaitingSinceIndicator", shape: scalar},
	field{name: "read", shape: scalar},
	field{name: "sortHash", shape: scalar},
	field{name: "unreadAdminMessages", shape: scalar},
	field{name: "unreadUserMessages", shape: scalar},
)

func byName(list ...field) map[string]field {
	fields := make(map[string]field, len(list))
	for _, f := range list {
		fields[f.name] = f
	}
	return fields
}
