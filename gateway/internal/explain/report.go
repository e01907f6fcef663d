// Package explain shows how the gateway processes a body, without a server or a database: the answer to the sender, the event, and the
// request to ticketsvc. An integrator with a real payload sees whether it fits.
package explain

import (
	"encoding/json"
	"io"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/ticketbridge/ticketbridge/gateway/internal/event"
	"github.com/ticketbridge/ticketbridge/gateway/internal/webhook"
	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
)

// Outcome is the final state of a delivery of a body.
type Outcome string

// The outcomes. They have the names of the states of a delivery.
const (
	// Forwarded: ticketsvc gets the event.
	Forwarded Outcome = "forwarded"
	// Rejected: the delivery is rejected and stored, or refused for its size and not stored.
	Rejected Outcome = "rejected"
	// Dead: the delivery is acknowledged and stored, but can't be forwarded.
	Dead Outcome = "dead"
)

// Options are the gateway's settings that affect the outcome of a body.
type Options struct {
	webhook.BodyOptions
	// FutureTolerance is how much later than now an event may be dated. 0 allows any date.
	FutureTolerance time.Duration
}

// Report describes how the gateway processes one body. Its JSON form is the output of `gateway explain --json`.
type Report struct {
	// File is the name of the body's file.
	File string `json:"file"`
	// Outcome is the final state of the delivery.
	Outcome Outcome `json:"outcome"`
	// Reason is why the event is not forwarded. Empty if it is.
	Reason string `json:"reason,omitempty"`
	// Status and Message are the answer to the sender, if the signature is right.
	Status  int    `json:"status"`
	Message string `json:"message"`
	// EventID and EventName are the id and the name of the event, if the body has them.
	EventID   string `json:"eventId,omitempty"`
	EventName string `json:"eventName,omitempty"`
	// TicketID is the id of the event's ticket. TicketIDSource is the place in the body where the id was found.
	TicketID       string `json:"ticketId,omitempty"`
	TicketIDSource string `json:"ticketIdSource,omitempty"`
	// Procedure is the RPC of ticketsvc that is called, and Request its request in the contract's JSON form.
	Procedure string          `json:"procedure,omitempty"`
	Request   json.RawMessage `json:"request,omitempty"`
	// Forms are the values whose form differs from the provider's documentation.
	Forms []Form `json:"forms,omitempty"`

	message request
}

// request has the methods that the requests of both RPCs have.
type request interface {
	proto.Message
	GetEvent() *ticketv1.EventMetadata
	GetTicket() *ticketv1.Ticket
	GetFieldMask() *fieldmaskpb.FieldMask
	GetElementChangeMask() *fieldmaskpb.FieldMask
}

// Form is a value whose form differs from the provider's documentation.
type Form struct {
	// Field is the path of the value, such as "data.delta.phoneNumber".
	Field string `json:"field"`
	// Form describes the value, such as "list of numbers".
	Form string `json:"form"`
	// Kept is true if the typed field stays empty and the value is kept as JSON in attributes. It is false if the value was read.
	Kept bool `json:"kept"`
}

// Body returns the report on a body that is received at now with the right signature.
func Body(file string, body []byte, now time.Time, options Options) Report {
	answer := webhook.Explain(body, options.BodyOptions)
	report := Report{
		File:           file,
		Status:         answer.Status,
		Message:        answer.Message,
		EventID:        answer.Event.EventID,
		EventName:      answer.Event.EventName,
		TicketID:       answer.Event.TicketID,
		TicketIDSource: answer.Event.TicketIDSource,
	}
	if answer.RejectReason != "" {
		report.Outcome, report.Reason = Rejected, answer.RejectReason
		return report
	}
	result, err := event.Map(answer.Redacted, now, options.FutureTolerance)
	if err != nil {
		report.Outcome, report.Reason = Dead, err.Error()
		return report
	}
	report.Outcome = Forwarded
	for _, f := range result.Findings {
		report.Forms = append(report.Forms, Form(f))
	}
	if result.Created != nil {
		report.Procedure, report.message = "TicketCreated", result.Created
	} else {
		report.Procedure, report.message = "TicketUpdated", result.Updated
	}
	return report
}

// WriteJSON writes reports for programs: one line with a JSON object for each body.
func WriteJSON(w io.Writer, reports []Report) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	for _, r := range reports {
		if r.message != nil {
			request, err := protojson.Marshal(r.message)
			if err != nil {
				return err
			}
			r.Request = request
		}
		if err := encoder.Encode(r); err != nil {
			return err
		}
	}
	return nil
}
