package forwarder

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"

	"connectrpc.com/connect"
)

// verdict is what the outcome of a call means for the delivery, and for all others.
type verdict uint8

const (
	// done: ticketsvc has recorded the event, now or before.
	done verdict = iota
	// unreachable: ticketsvc can't do its work, which is no fault of any event's. It is tried again, and no attempt is used up.
	unreachable
	// deferred: as unreachable, but it can be that only this event fails so, being large or slow to record.
	deferred
	// misdeployed: no event can get through until somebody mends the deployment. As deferred, but said loudly, and all wait.
	misdeployed
	// failed: it may be the event's fault. It is tried again until its attempts are used up.
	failed
	// hopeless: the same call will never succeed.
	hopeless
)

// verdicts is the one table of what each code means. A code that is not in it counts as [failed].
var verdicts = map[connect.Code]verdict{
	connect.CodeAlreadyExists: done,

	connect.CodeUnavailable: unreachable,

	connect.CodeDeadlineExceeded:  deferred,
	connect.CodeResourceExhausted: deferred,
	connect.CodeAborted:           deferred,
	connect.CodeCanceled:          deferred,

	connect.CodeUnauthenticated:  misdeployed,
	connect.CodePermissionDenied: misdeployed,
	connect.CodeUnimplemented:    misdeployed,

	connect.CodeInternal: failed,
	connect.CodeUnknown:  failed,
	connect.CodeDataLoss: failed,

	connect.CodeInvalidArgument:    hopeless,
	connect.CodeOutOfRange:         hopeless,
	connect.CodeFailedPrecondition: hopeless,
	connect.CodeNotFound:           hopeless,
}

// judge returns what the error of a call means.
func judge(err error) verdict {
	if err == nil {
		return done
	}
	v, ok := verdicts[connect.CodeOf(err)]
	if !ok {
		v = failed
	}
	if connect.IsWireError(err) {
		return v
	}
	// Nobody at the other end said this: the connection broke, something in between answered, or the call never left.
	var network net.Error
	var other *notTicketsvcError
	var untrusted *tls.CertificateVerificationError
	switch {
	case connect.CodeOf(err) == connect.CodeDeadlineExceeded:
		return deferred
	case errors.As(err, &other) && other.mayPass():
		return unreachable
	case errors.As(err, &other), errors.As(err, &untrusted):
		return misdeployed
	case errors.As(err, &network), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return unreachable
	case v == hopeless:
		return failed
	default:
		return v
	}
}

// maxReason bounds how much of an error's text is kept as the reason of a delivery's state, in bytes.
const maxReason = 256

// reasonOf says for people why a call failed. ticketsvc's errors name ids and fields only, so nothing personal is in it.
func reasonOf(err error) string {
	reason := "ticketsvc: " + connect.CodeOf(err).String()
	if connectErr := (*connect.Error)(nil); errors.As(err, &connectErr) && connect.IsWireError(err) {
		reason += ": " + connectErr.Message()
	}
	return strings.ToValidUTF8(reason[:min(maxReason, len(reason))], "")
}
