package forwarder

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
	"unicode"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
)

// outcomeClass is what the error of a call, or its success, means for the delivery and for all others.
type outcomeClass uint8

const (
	// retryable: the event may be the cause. The call is retried until the attempts are used up. A code without an entry means this.
	retryable outcomeClass = iota
	// done: ticketsvc has recorded the event, now or before.
	done
	// unreachable: ticketsvc can't be used, for a reason that is no event. The call is retried, and no attempt is used up.
	unreachable
	// deferred: like unreachable, but possibly only for this event, which may be large or slow to record.
	deferred
	// misconfigured: no event can be forwarded until the deployment is fixed. Like unreachable, but logged as an error.
	misconfigured
	// permanent: the same call will never succeed.
	permanent
	// unknownBatch: ticketsvc does not know RecordTicketEvents. The events are called alone, as if they had not been tried.
	unknownBatch
)

// outcomeClasses is the table of the meanings of ticketsvc's codes. There are two exceptions: RESOURCE_EXHAUSTED without a RetryInfo, in
// [classify], and the error of a call with several events, in [batchError.classify].
var outcomeClasses = map[connect.Code]outcomeClass{
	connect.CodeAlreadyExists: done,

	connect.CodeUnavailable: unreachable,

	connect.CodeDeadlineExceeded: deferred,
	connect.CodeAborted:          deferred,
	connect.CodeCanceled:         deferred,
	// With a RetryInfo ticketsvc is busy. Without a RetryInfo the event, or its ticket with it, is larger than ticketsvc accepts, which is
	// permanent.
	connect.CodeResourceExhausted: deferred,

	connect.CodeUnauthenticated:  misconfigured,
	connect.CodePermissionDenied: misconfigured,
	connect.CodeUnimplemented:    misconfigured,

	connect.CodeInternal: retryable,
	connect.CodeUnknown:  retryable,
	connect.CodeDataLoss: retryable,

	connect.CodeInvalidArgument:    permanent,
	connect.CodeOutOfRange:         permanent,
	connect.CodeFailedPrecondition: permanent,
	connect.CodeNotFound:           permanent,
}

// classify returns what the error of a call means. Only an error that ticketsvc itself sent can use up an attempt or make a delivery dead.
func classify(err error) outcomeClass {
	if err == nil {
		return done
	}
	var batch *batchError
	if errors.As(err, &batch) {
		return batch.classify()
	}
	if connect.IsWireError(err) {
		code := connect.CodeOf(err)
		if _, retry := retryDelay(err); code == connect.CodeResourceExhausted && !retry {
			return permanent
		}
		return outcomeClasses[code]
	}
	var foreign *foreignAnswerError
	var untrusted *tls.CertificateVerificationError
	var network net.Error
	switch {
	case errors.As(err, &untrusted):
		return misconfigured
	case isUnsent(err):
		// Also if the connection took too long, which Connect reports as a deadline that is over.
		return unreachable
	case connect.CodeOf(err) == connect.CodeDeadlineExceeded:
		return deferred
	case errors.As(err, &foreign):
		return classifyStatus(foreign.status)
	case connect.CodeOf(err) == connect.CodeUnavailable, errors.As(err, &network), errors.Is(err, io.EOF),
		errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return unreachable
	default:
		// The request could not be made, or the answer could not be read.
		return deferred
	}
}

// batchError is the error of a call with several events. It says nothing about each event: the call may have failed because of one of them.
type batchError struct{ error }

func (e *batchError) Unwrap() error { return e.error }

// classify returns what the error means for each of the events.
func (e *batchError) classify() outcomeClass {
	var foreign *foreignAnswerError
	// An older ticketsvc without tokens answers 404.
	if connect.CodeOf(e) == connect.CodeUnimplemented || errors.As(e, &foreign) && foreign.status == http.StatusNotFound {
		return unknownBatch
	}
	if class := classify(e.error); class == unreachable || class == misconfigured {
		return class
	}
	return deferred
}

// errorOf returns the error that a call with only that event would have returned.
func errorOf(e *ticketv1.TicketEventError) error {
	err := connect.NewWireError(connect.Code(e.GetCode()), errors.New(e.GetMessage()))
	if e.GetRetryDelay() != nil {
		// The detail is made from a valid message, so this does not fail.
		if detail, detailErr := connect.NewErrorDetail(&errdetails.RetryInfo{RetryDelay: e.GetRetryDelay()}); detailErr == nil {
			err.AddDetail(detail)
		}
	}
	return err
}

// isUnsent reports whether a call failed before it was sent, because there was no connection. Then its events are untried.
func isUnsent(err error) bool {
	var network *net.OpError
	return errors.As(err, &network) && (network.Op == "dial" || network.Op == "proxyconnect")
}

// classifyStatus returns the meaning of an answer that is not ticketsvc's, by its HTTP status.
func classifyStatus(status int) outcomeClass {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return unreachable
	case http.StatusUnauthorized, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusProxyAuthRequired, http.StatusNotImplemented:
		return misconfigured
	}
	switch status / 100 {
	case 4:
		// A proxy can refuse one event for its size or its content, and pass on all others.
		return deferred
	case 5:
		return unreachable
	default:
		return misconfigured
	}
}

// minRetryDelay and maxRetryDelay bound the delay of a google.rpc.RetryInfo.
const minRetryDelay, maxRetryDelay = time.Millisecond, 15 * time.Minute

// retryDelay returns the delay that ticketsvc asks for before a retry, and false if it asks for none.
func retryDelay(err error) (time.Duration, bool) {
	var connectErr *connect.Error
	if !errors.As(err, &connectErr) {
		return 0, false
	}
	for _, detail := range connectErr.Details() {
		if detail.Type() == "google.rpc.RetryInfo" {
			// A RetryInfo that can't be read asks for the minimum delay.
			message, _ := detail.Value()
			info, _ := message.(*errdetails.RetryInfo)
			return min(max(info.GetRetryDelay().AsDuration(), minRetryDelay), maxRetryDelay), true
		}
	}
	return 0, false
}

// maxReason is the maximum number of bytes of an error's text that is kept as the reason of a delivery's state.
const maxReason = 256

// reasonOf returns for people why a call failed. It holds no personal data, because ticketsvc's errors contain only ids and names of
// fields.
func reasonOf(err error) string {
	reason := "ticketsvc: " + connect.CodeOf(err).String()
	var connectErr *connect.Error
	var foreign *foreignAnswerError
	switch {
	case errors.As(err, &connectErr) && connect.IsWireError(err):
		reason += ": " + connectErr.Message()
	case errors.As(err, &foreign):
		reason = foreign.Error()
	}
	return strings.Map(printable, strings.ToValidUTF8(reason[:min(maxReason, len(reason))], ""))
}

// printable returns a space for a character that does not belong into a line, such as one that a terminal takes for a command.
func printable(r rune) rune {
	if unicode.IsPrint(r) {
		return r
	}
	return ' '
}
