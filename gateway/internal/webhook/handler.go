// Package webhook is the public endpoint: it receives what Allthings posts, and answers by Allthings' contract.
//
// It trusts nothing. A body is read once, within limits of size, time and memory, and its signature is checked over the same bytes. A
// signed delivery is stored before it is answered, even if it is rejected. Nothing of an unsigned or wrongly signed delivery is stored: its
// body is only parsed to choose the answer and the warning.
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
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/ticketbridge/ticketbridge/gateway/internal/event"
	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	"github.com/ticketbridge/ticketbridge/gateway/internal/signature"
	"github.com/ticketbridge/ticketbridge/internal/httpserver"
	"github.com/ticketbridge/ticketbridge/internal/id"
	"github.com/ticketbridge/ticketbridge/internal/logthrottle"
)

// Inbox stores deliveries.
type Inbox interface {
	// Accept returns after the delivery is durable. Its errors are those of [inbox.Inbox.Accept].
	Accept(ctx context.Context, incoming inbox.Incoming) (inbox.Action, error)
}

// Options are the options of the webhook handler.
type Options struct {
	// Path is the only path that is served.
	Path string
	// SignatureHeaders are the names of the headers that can hold the signature. If a request has several of them, the first of this list
	// counts. The header of the signature's time has the same name with "-timestamp" after it.
	SignatureHeaders []string
	// TimestampTolerance is the maximum difference between the time of a signature and now, in both directions. 0 means that the time is not
	// checked.
	TimestampTolerance time.Duration
	BodyOptions
	// RejectUnsigned is set if deliveries without a signature are refused. Otherwise they are acknowledged, as the provider's test deliveries
	// must be.
	RejectUnsigned bool
	// Now is the clock.
	Now func() time.Time
	// Log is the log for operators.
	Log *slog.Logger
}

// Handler is the webhook handler.
type Handler struct {
	inbox    Inbox
	verifier *signature.Verifier
	options  Options
	headers  []signatureHeader
	bodies   *bodyReader

	storeErrors *logthrottle.Throttle
	warnings    *logthrottle.PerKey[*warning]
	// largest is the largest size of a delivery over the limit since the last warning.
	largest atomic.Int64
}

// signatureHeader has the canonical names of the headers with a signature and its time.
type signatureHeader struct{ signature, timestamp string }

// NewHandler returns a handler that stores in inbox the deliveries that are signed with one of the verifier's secrets.
func NewHandler(in Inbox, verifier *signature.Verifier, options Options) *Handler {
	h := &Handler{
		inbox:       in,
		verifier:    verifier,
		options:     options,
		bodies:      newBodyReader(options.MaxBodyBytes, bodiesMemory),
		storeErrors: logthrottle.New(10 * time.Second),
		warnings:    logthrottle.NewPerKey[*warning](time.Minute),
	}
	for _, name := range options.SignatureHeaders {
		h.headers = append(h.headers, signatureHeader{http.CanonicalHeaderKey(name), http.CanonicalHeaderKey(name + "-timestamp")})
	}
	return h
}

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer h.recoverPanic(w)
	httpserver.CloseIfAmbiguous(w, r)
	switch {
	case r.URL.Path != h.options.Path:
		answerNotFound.write(w)
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		answerMethodNotAllowed.write(w)
	case !isIdentity(r.Header["Content-Encoding"]):
		h.warn(warnEncoded)
		answerEncoded.write(w)
	default:
		h.serveDelivery(w, r)
	}
}

// recoverPanic answers a request whose handling panicked, and logs the panic. The panic's value may hold personal data, so only the stack
// trace is logged.
func (h *Handler) recoverPanic(w http.ResponseWriter) {
	if recover() != nil {
		h.options.Log.Error("handling a delivery panicked; Allthings retries it", "stack", string(debug.Stack()))
		answerUnavailable.write(w)
	}
}

// serveDelivery answers a posted delivery. If the signature header can't be the signature of any body, the body is not read.
func (h *Handler) serveDelivery(w http.ResponseWriter, r *http.Request) {
	header, isSigned := h.findSignature(r)
	claimed, err := signature.Parse(r.Header[header.signature])
	if isSigned && err != nil {
		h.warn(warnNoSignature)
		answerMalformedSignature.writeEarly(w)
		return
	}
	body, err := h.bodies.read(w, r)
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	defer body.release()
	if !isSigned {
		h.serveUnsigned(w, body.bytes)
		return
	}
	signer, err := h.verifier.Verify(claimed, body.bytes)
	if err != nil {
		h.warn(warnWrongSignature)
		answerUnauthenticated.write(w)
		return
	}
	h.serveSigned(w, r, header, signer, body.bytes)
}

// findSignature returns the header that holds a request's signature. ok is false if there is none.
func (h *Handler) findSignature(r *http.Request) (header signatureHeader, ok bool) {
	for _, header := range h.headers {
		if len(r.Header[header.signature]) > 0 {
			return header, true
		}
	}
	return signatureHeader{}, false
}

// refuse answers a delivery whose body could not be read.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, errTooLarge):
		h.warnTooLarge(max(r.ContentLength, h.options.MaxBodyBytes+1))
		answerTooLarge.writeEarly(w)
	case errors.Is(err, errNoMemory):
		h.warn(warnNoMemory)
		answerNoMemory.writeEarly(w)
	case errors.Is(err, errCutOff):
		h.warn(warnCutOff)
		answerTimeout.write(w)
	case errors.Is(err, os.ErrDeadlineExceeded):
		h.warn(warnTooSlow)
		answerTimeout.write(w)
	default:
		h.warn(warnCutShort)
		answerCutShort.write(w)
	}
}

// serveUnsigned answers a delivery without a signature. Nothing of it is stored: it should be Allthings' test. If it is an event, there is
// a problem that only the operator can see.
func (h *Handler) serveUnsigned(w http.ResponseWriter, body []byte) {
	answer := answerTest
	if h.options.RejectUnsigned {
		answer = answerUnsigned
	}
	if isTicketEvent(body) {
		h.warn(warnUnsignedEvent, "status", answer.status)
	} else if h.options.RejectUnsigned {
		h.warn(warnUnsigned)
	}
	answer.write(w)
}

func isTicketEvent(body []byte) bool {
	e, err := event.Parse(body)
	return (err == nil || errors.Is(err, event.ErrUnexpectedEvent)) && e.EventID != "" && strings.HasPrefix(e.EventName, "ticket.")
}

// serveSigned stores and answers a delivery whose signature is right.
func (h *Handler) serveSigned(w http.ResponseWriter, r *http.Request, header signatureHeader, signer signature.Signer, body []byte) {
	incoming, answer := h.incoming(r, header, signer, body)
	// The wait must not end if the sender disconnects: without an answer from us, net/http would answer 200 for a delivery that may not be
	// stored.
	action, err := h.inbox.Accept(context.WithoutCancel(r.Context()), incoming)
	switch {
	case errors.Is(err, inbox.ErrBusy):
		h.warn(warnBusy)
		answer = answerUnavailable
	case err != nil:
		if count, ok := h.storeErrors.Allow(h.options.Now()); ok {
			h.options.Log.Error("deliveries can't be stored; Allthings retries them", "count", count, "error", err)
		}
		answer = answerUnavailable
	case action == inbox.Conflict && incoming.RejectReason == "":
		h.options.Log.Warn("delivery is set aside", "event_id", incoming.EventID, "reason", inbox.ReasonOtherBody)
	case action != inbox.Ignore && incoming.RejectReason != "":
		h.options.Log.Warn("signed delivery is rejected and stored", "event_id", incoming.EventID, "reason", incoming.RejectReason,
			"status", answer.status)
	}
	answer.write(w)
}

// reasonOtherApp is the reason of a delivery that is rejected because it is signed with the secret of an App, but is of another App or
// names none.
const reasonOtherApp = "signed with a secret that is not for the App of event.urn"

// incoming returns a signed delivery as it is to be stored, and the answer to it after it is stored.
func (h *Handler) incoming(r *http.Request, header signatureHeader, signer signature.Signer, body []byte) (inbox.Incoming, *answer) {
	now := h.options.Now()
	c := h.options.classify(body)
	incoming := inbox.Incoming{
		EventID:      c.event.EventID,
		EventName:    c.event.EventName,
		TicketID:     c.event.TicketID,
		RejectReason: c.rejectReason,
		ReceiveTime:  now,
		Headers: inbox.Headers{
			SignatureTimestamp: firstValue(r, header.timestamp),
			ContentType:        firstValue(r, "Content-Type"),
			UserAgent:          firstValue(r, "User-Agent"),
			TraceParent:        firstValue(r, "Traceparent"),
		},
		Body:     c.redacted,
		BodyHash: sha256.Sum256(c.redacted),
	}
	// This check comes before that of the time: a delivery that is rejected only for its time can be retried.
	if c.isReadable && !signer.MaySignFor(c.event.AppID) {
		incoming.RejectReason = reasonOtherApp
		return incoming, answerUnauthenticated
	}
	if err := signature.CheckTime(r.Header[header.timestamp], now, h.options.TimestampTolerance); err != nil {
		incoming.RejectReason = err.Error()
		return incoming, answerUnauthenticated
	}
	return incoming, c.answer
}

// maxStoredHeaderBytes bounds each header that is stored. Longer headers are of no use to readers of a delivery.
const maxStoredHeaderBytes = 256

// firstValue returns the first value of a header as a valid string of bounded length.
func firstValue(r *http.Request, canonicalName string) string {
	values := r.Header[canonicalName]
	if len(values) == 0 {
		return ""
	}
	return validString(values[0][:min(maxStoredHeaderBytes, len(values[0]))])
}

// validString returns s without invalid UTF-8 and hidden characters, so that it can be stored and shown anywhere.
func validString(s string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || id.Hidden(r) {
			return -1
		}
		return r
	}, s)
}

func isIdentity(encodings []string) bool {
	return len(encodings) == 0 || len(encodings) == 1 && (encodings[0] == "" || strings.EqualFold(encodings[0], "identity"))
}
