package translate

import (
	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
)

// tokenName is the member that holds an access token, in whatever object. Source: the SDK's ticket.
const tokenName = "token"

// field is a field of a ticket that the SDK knows.
type field struct {
	// path is where the value goes.
	path path
	// decode puts it there. Nil for a field that Ticket does not model, whose text is an attribute.
	decode decoder
	// list is set for a field that is a list, so that a list of two is not taken for a change.
	list bool
}

// decoder puts a value that is not null into a ticket. Its error says what was wanted.
//
// When UTF-8 can't hold the value, exact is its JSON text, for the attributes.
type decoder func(ticket *ticketv1.Ticket, value []byte) (exact []byte, err error)

// shape returns the shape of the field's values, when the field is known at all.
func (f field) shape(known bool) shape {
	switch {
	case !known:
		return unknown
	case f.list:
		return list
	default:
		return scalar
	}
}

// fields are the fields that the SDK's ticket has, by the provider's names, and createdBy: the SDK has that only in _embedded, but were
// it to come beside the others, a user's data must not end up among the attributes.
var fields = map[string]field{
	"assignedTo":     {path: assignedTo, decode: idInto(func(t *ticketv1.Ticket) *string { return &t.AssignedTo })},
	"category":       {path: categoryID, decode: idInto(func(t *ticketv1.Ticket) *string { return &t.CategoryId })},
	"channels":       {path: channels, decode: textsInto(func(t *ticketv1.Ticket) *[]string { return &t.Channels }), list: true},
	"commentCount":   {path: commentCount, decode: decodeCommentCount},
	"createdAt":      {path: createTime, decode: dateInto(func(t *ticketv1.Ticket) **timestamp { return &t.CreateTime })},
	"createdBy":      {path: createdBy, decode: idInto(func(t *ticketv1.Ticket) *string { return &t.CreatedBy })},
	"customSettings": {path: customSettings, decode: decodeCustomSettings, list: true},
	"description":    {path: description, decode: textInto(func(t *ticketv1.Ticket) *string { return &t.Description })},
	"files":          {path: files, decode: idsInto(func(t *ticketv1.Ticket) *[]string { return &t.Files }), list: true},
	"incrementID":    {path: incrementID, decode: numberInto(func(t *ticketv1.Ticket) *string { return &t.IncrementId })},
	"labels":         {path: labels, decode: idsInto(func(t *ticketv1.Ticket) *[]string { return &t.Labels }), list: true},
	"lastStatusUpdate": {path: lastStatusUpdateTime,
		decode: dateInto(func(t *ticketv1.Ticket) **timestamp { return &t.LastStatusUpdateTime })},
	"phoneNumber": {path: phoneNumber, decode: textInto(func(t *ticketv1.Ticket) *string { return &t.PhoneNumber })},
	"status":      {path: statusText, decode: textInto(func(t *ticketv1.Ticket) *string { return &t.StatusText })},
	"tags":        {path: tags, decode: textsInto(func(t *ticketv1.Ticket) *[]string { return &t.Tags }), list: true},
	"title":       {path: title, decode: textInto(func(t *ticketv1.Ticket) *string { return &t.Title })},
	"updatedAt":   {path: updateTime, decode: dateInto(func(t *ticketv1.Ticket) **timestamp { return &t.UpdateTime })},

	"channelPaths":                  {list: true},
	"customerWaitingSince":          {},
	"customerWaitingSinceIndicator": {},
	"read":                          {},
	"sortHash":                      {},
	"unreadAdminMessages":           {},
	"unreadUserMessages":            {},
}
