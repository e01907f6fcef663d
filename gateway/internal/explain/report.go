// Package explain shows what the gateway makes of a body, without a server or a database: how it is answered, which event it is, and what
// ticketsvc is told. An integrator who holds a real payload sees whether it fits.
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

// Outcome says where a delivery of a body ends.
type Outcome string

// The outcomes. They are the names of the states of a delivery.
const (
	// Forwarded: ticketsvc gets the event.
	Forwarded Outcome = "forwarded"
	// Rejected: the body is refused, and kept unless it is over the size limit.
	Rejected Outcome = "rejected"
	// Dead: the body is acknowledged and kept, and can't be forwarded.
	Dead Outcome = "dead"
)

// Options are the gateway's settings that decide what becomes of a body.
type Options struct {
	webhook.BodyOptions
	// FutureTolerance is how far ahead of now an event may be dated; 0 lets any date pass.
	FutureTolerance time.Duration
}

// Report is what the gateway makes of one body. Its JSON form is the output of `gateway explain --json`.
type Report struct {
	// File is the name of the body's file.
	File string `json:"file"`
	// Outcome is where the delivery ends.
	Outcome Outcome `json:"outcome"`
	// Reason says why it is not forwarded. Empty when it is.
	Reason string `json:"reason,omitempty"`
	// Status and Message are the answer to the sender, where the signature is right.
	Status  int    `json:"status"`
	Message string `json:"message"`
	// EventID and EventName are the event's, as far as the body names them.
	EventID   string `json:"eventId,omitempty"`
	EventName string `json:"eventName,omitempty"`
	// TicketID is the ticket that the event is about, and TicketIDSource where the body names it.
	TicketID       string `json:"ticketId,omitempty"`
	TicketIDSource string `json:"ticketIdSource,omitempty"`
	// Procedure is the RPC that ticketsvc is called with, and Request its request in the contract's JSON form.
	Procedure string          `json:"procedure,omitempty"`
	Request   json.RawMessage `json:"request,omitempty"`
	// Forms are the values that have another form than the provider documents.
	Forms []Form `json:"forms,omitempty"`

	message request
}

// request is what the requests of both RPCs have.
type request interface {
	proto.Message
	GetEvent() *ticketv1.EventMetadata
	GetTicket() *ticketv1.Ticket
	GetFieldMask() *fieldmaskpb.FieldMask
	GetElementChangeMask() *fieldmaskpb.FieldMask
}

// Form is a value that has another form than the provider documents.
type Form struct {
	// Field is where the value stands, such as "data.delta.phoneNumber".
	Field string `json:"field"`
	// Form says what is there, such as "list of numbers".
	Form string `json:"form"`
	// Kept is true where the typed field stays empty and the value is kept as JSON in attributes, false where the value was read.
	Kept bool `json:"kept"`
}

// Body returns the report on a body that arrives at now with the right signature.
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
	for _, f := range result.Forms {
		report.Forms = append(report.Forms, Form(f))
	}
	if result.Created != nil {
		report.Procedure, report.message = "TicketCreated", result.Created
	} else {
		report.Procedure, report.message = "TicketUpdated", result.Updated
	}
	return report
}

// WriteJSON writes reports for programs: a JSON object on a line of its own for each body.
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
