package webhook

import (
	"errors"

	"github.com/ticketbridge/ticketbridge/gateway/internal/event"
)

// BodyOptions are the options for classifying signed bodies.
type BodyOptions struct {
	// MaxBodyBytes is the maximum size of a body.
	MaxBodyBytes int64
	// AcknowledgeUnexpected acknowledges events of an unknown kind. They are kept as rejected in both cases.
	AcknowledgeUnexpected bool
}

// classified is the classification of a signed body.
type classified struct {
	event event.Envelope
	// redacted is the body without access tokens, as it is kept.
	redacted []byte
	// rejectReason is why the delivery is rejected. Empty if it is accepted.
	rejectReason string
	answer       *answer
}

// classify classifies a signed body. The size was checked before, while the body was read.
func (o BodyOptions) classify(body []byte) classified {
	envelope, err := event.Parse(body)
	c := classified{event: envelope, redacted: event.Redact(body), answer: answerSuccess}
	if err == nil {
		return c
	}
	c.rejectReason, c.answer = err.Error(), answerMalformed
	if errors.Is(err, event.ErrUnexpectedEvent) {
		c.answer = answerUnexpected
		if o.AcknowledgeUnexpected {
			c.answer = answerSuccess
		}
	}
	return c
}

// Explanation describes how the public address processes a body.
type Explanation struct {
	// Event has the fields of the event that could be read.
	Event event.Envelope
	// Redacted is the body as it is kept.
	Redacted []byte
	// RejectReason is why the delivery is rejected, or refused for its size. Empty if it is accepted.
	RejectReason string
	// Status and Message are the answer.
	Status  int
	Message string
}

// Explain returns how the public address processes a body whose signature and time are right.
func Explain(body []byte, options BodyOptions) Explanation {
	c := classified{rejectReason: errTooLarge.Error(), answer: answerTooLarge}
	if int64(len(body)) <= options.MaxBodyBytes {
		c = options.classify(body)
	}
	return Explanation{Event: c.event, Redacted: c.redacted, RejectReason: c.rejectReason, Status: c.answer.status, Message: c.answer.message}
}
