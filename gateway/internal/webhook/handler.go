// Package webhook is the public door: it takes in what Allthings posts, and answers as Allthings' contract says.
//
// It trusts nothing. A body is read once, under a limit, and its signature checked over those very bytes; only then is anything of it
// looked at. What is signed is kept before it is answered, also when it is refused; what is not signed leaves no trace.
package webhook

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/ticketbridge/ticketbridge/gateway/internal/envelope"
	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	"github.com/ticketbridge/ticketbridge/gateway/internal/signature"
	"github.com/ticketbridge/ticketbridge/internal/logthrottle"
)

// Inbox keeps arrivals.
type Inbox interface {
	// Accept returns once the arrival is durable. Its errors are those of [inbox.Inbox.Accept].
	Accept(ctx context.Context, arrival inbox.Arrival) (inbox.Action, error)
}

// Options say how the door behaves.
type Options struct {
	// Path is the only path that is served.
	Path string
	// SignatureHeaders are the names of the headers that can hold the signature. The first that a request has counts. The header of its time
	// is named the same with "-timestamp" after it.
	SignatureHeaders []string
	// TimestampTolerance is how far the time of a signature may be from now, in both directions. 0 means that the time is not checked.
	TimestampTolerance time.Duration
	// MaxBodyBytes is the size of the largest body that is taken.
	MaxBodyBytes int64
	// RejectUnsigned refuses deliveries without a signature. Otherwise they are acknowledged, as the provider's test deliveries must be.
	RejectUnsigned bool
	// AcknowledgeUnexpected acknowledges events of an unknown kind, which are kept as rejected either way.
	AcknowledgeUnexpected bool
	// Now is the clock.
	Now func() time.Time
	// Log receives what operators should know.
	Log *slog.Logger
}

// Handler is the door.
type Handler struct {
	inbox    Inbox
	verifier *signature.Verifier
	options  Options
	headers  []signatureHeader
	bodies   *bodyReader

	wronglySigned, unkept *logthrottle.Throttle
}

// signatureHeader is where a sender puts a signature and its time, by canonical names.
type signatureHeader struct{ signature, timestamp string }

// NewHandler returns a door that keeps in inbox what one of the verifier's secrets signed.
func NewHandler(in Inbox, verifier *signature.Verifier, options Options) *Handler {
	h := &Handler{
		inbox:         in,
		verifier:      verifier,
		options:       options,
		bodies:        newBodyReader(options.MaxBodyBytes),
		wronglySigned: logthrottle.New(time.Minute),
		unkept:        logthrottle.New(10 * time.Second),
	}
	for _, name := range options.SignatureHeaders {
		h.headers = append(h.headers, signatureHeader{http.CanonicalHeaderKey(name), http.CanonicalHeaderKey(name + "-timestamp")})
	}
	return h
}

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer h.survive(w)
	if len(r.TransferEncoding) > 0 || !r.ProtoAtLeast(1, 1) {
		// net/http drops a Content-Length beside a Transfer-Encoding without a word (of HTTP/1.0 the latter), though the two together can
		// smuggle a request past a proxy. A connection that is closed after the answer has nothing to smuggle.
		w.Header().Set("Connection", "close")
	}
	switch {
	case r.URL.Path != h.options.Path:
		answerNotFound.write(w)
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		answerMethodNotAllowed.write(w)
	case !isIdentity(r.Header["Content-Encoding"]):
		answerEncoded.write(w)
	default:
		if header, ok := h.findSignature(r); ok {
			h.serveSigned(w, r, header)
		} else if h.options.RejectUnsigned {
			answerUnsigned.write(w)
		} else {
			answerTest.write(w)
		}
	}
}

// findSignature returns the header that holds a request's signature, unless there is none.
func (h *Handler) findSignature(r *http.Request) (header signatureHeader, ok bool) {
	for _, header := range h.headers {
		if len(r.Header[header.signature]) > 0 {
			return header, true
		}
	}
	return signatureHeader{}, false
}

// survive answers a request whose handling panicked, and says so. What the panic holds may be personal, so only where it was is logged.
func (h *Handler) survive(w http.ResponseWriter) {
	if recover() != nil {
		h.options.Log.Error("handling a delivery panicked; Allthings will send it again", "stack", string(debug.Stack()))
		answerUnavailable.write(w)
	}
}

// serveSigned answers a delivery that says that it is signed.
func (h *Handler) serveSigned(w http.ResponseWriter, r *http.Request, header signatureHeader) {
	body, err := h.bodies.read(r)
	if err != nil {
		answerTo(err).write(w)
		return
	}
	defer body.release()
	claimed, err := signature.Parse(r.Header[header.signature])
	if err != nil || h.verifier.Verify(claimed, body.bytes) != nil {
		if count, ok := h.wronglySigned.Allow(h.options.Now()); ok {
			h.options.Log.Warn("deliveries with a wrong signature are refused; is the secret the one that Allthings has?", "count", count)
		}
		answerUnauthenticated.write(w)
		return
	}
	arrival, answer := h.assess(r, header, body.bytes)
	// A sender that stops listening must not end the wait: without an answer of ours, net/http would say 200 for what may not be kept.
	action, err := h.inbox.Accept(context.WithoutCancel(r.Context()), arrival)
	switch {
	case errors.Is(err, inbox.ErrBusy):
		answer = answerUnavailable
	case err != nil:
		if count, ok := h.unkept.Allow(h.options.Now()); ok {
			h.options.Log.Error("deliveries can't be kept; Allthings will send them again", "count", count, "error", err)
		}
		answer = answerUnavailable
	case action == inbox.SetAside && arrival.RejectReason == "":
		h.options.Log.Warn("delivery is set aside", "event_id", arrival.EventID, "reason", inbox.ReasonOtherBody)
	case action != inbox.Ignore && arrival.RejectReason != "":
		h.options.Log.Warn("signed delivery is rejected and kept", "event_id", arrival.EventID, "reason", arrival.RejectReason,
			"status", answer.status)
	}
	answer.write(w)
}

// assess says what a signed body is to the inbox, and how it is to be answered once it is kept.
func (h *Handler) assess(r *http.Request, header signatureHeader, body []byte) (inbox.Arrival, *answer) {
	now := h.options.Now()
	event, parseErr := envelope.Parse(body)
	kept := envelope.Redact(body)
	arrival := inbox.Arrival{
		EventID:     event.EventID,
		EventName:   event.EventName,
		TicketID:    event.TicketID,
		ReceiveTime: now,
		Headers: inbox.Headers{
			SignatureTimestamp: firstValue(r, header.timestamp),
			ContentType:        firstValue(r, "Content-Type"),
			UserAgent:          firstValue(r, "User-Agent"),
			TraceParent:        firstValue(r, "Traceparent"),
		},
		Body:     kept,
		BodyHash: sha256.Sum256(kept),
	}
	outcome := answerSuccess
	if err := signature.CheckTime(r.Header[header.timestamp], now, h.options.TimestampTolerance); err != nil {
		arrival.RejectReason, outcome = err.Error(), answerUnauthenticated
	} else if parseErr != nil {
		arrival.RejectReason, outcome = parseErr.Error(), answerMalformed
		if errors.Is(parseErr, envelope.ErrUnexpectedEvent) {
			outcome = answerUnexpected
			if h.options.AcknowledgeUnexpected {
				outcome = answerSuccess
			}
		}
	}
	return arrival, outcome
}

// maxHeaderBytes bounds each header that is kept. Longer ones say nothing to anyone who reads a delivery.
const maxHeaderBytes = 256

// firstValue returns the first value of a header as valid text of bounded length.
func firstValue(r *http.Request, canonicalName string) string {
	values := r.Header[canonicalName]
	if len(values) == 0 {
		return ""
	}
	return validText(values[0][:min(maxHeaderBytes, len(values[0]))])
}

func isIdentity(encodings []string) bool {
	return len(encodings) == 0 || len(encodings) == 1 && (encodings[0] == "" || strings.EqualFold(encodings[0], "identity"))
}

// answerTo is the answer to a body that could not be read.
func answerTo(err error) *answer {
	switch {
	case errors.Is(err, errTooLarge):
		return answerTooLarge
	case errors.Is(err, errNoRoom):
		return answerUnavailable
	case errors.Is(err, os.ErrDeadlineExceeded):
		return answerTimeout
	default:
		return answerCutShort
	}
}
