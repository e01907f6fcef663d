package webhook

import (
	"fmt"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
)

// warning is a log line for operators that anybody can cause. It is logged at most once a minute, with the number of requests that it
// stands for.
type warning struct{ message, fix string }

// The warnings about requests that are not stored. Allthings gives up after seven days, and without a warning nobody would notice
// before.
var (
	warnTooLarge = &warning{"deliveries over the size limit are refused",
		fmt.Sprintf("raise --max-body-bytes to largest_bytes or more, at most %d", inbox.MaxBodyBytes)}
	warnEncoded = &warning{"deliveries with a Content-Encoding are refused",
		"switch off the compression of requests in the proxy in front"}
	warnTooSlow = &warning{"deliveries whose body arrives too slowly are refused",
		"let the proxy in front buffer requests, and check the network to it"}
	warnCutShort = &warning{"deliveries whose body is incomplete are refused",
		"check the timeouts and size limits of the proxy in front"}
	warnNoMemory = &warning{"memory for bodies is used up, so deliveries are refused",
		"check that the database is fast enough, or run another gateway"}
	warnCutOff = &warning{"memory for bodies is used up, so the slowest senders are cut off",
		"limit the connections of one client in the proxy in front, or let it buffer requests"}
	warnBusy = &warning{"too many deliveries wait to be stored, so more are refused",
		"check that the database is fast enough, or run another gateway"}
	warnNoSignature = &warning{"deliveries whose signature header holds no signature are refused",
		"check --signature-header: its value is one signature of 64 hex digits, with or without sha256= before it"}
	warnWrongSignature = &warning{"deliveries with a wrong signature are refused",
		"check that the secret is the one that Allthings has: --webhook-secret, --webhook-secret-file"}
	warnUnsigned = &warning{"deliveries without a signature are refused",
		"set --unsigned to acknowledge if they are Allthings' test, else check that the proxy in front passes on the signature header"}
	warnUnsignedEvent = &warning{
		"events without a signature are not stored: a proxy removes the signature header, or the webhook has no secret",
		"pass the header of --signature-header on in the proxy in front, and give the webhook a secret; Allthings' test may be such an event",
	}
)

// warn counts a request, and reports whether the line was due and was logged.
func (h *Handler) warn(kind *warning, attributes ...any) bool {
	count, ok := h.warnings.Allow(kind, h.options.Now())
	if ok {
		h.options.Log.Warn(kind.message, append([]any{"count", count, "fix", kind.fix}, attributes...)...)
	}
	return ok
}

// warnTooLarge warns of a delivery of at least this size.
func (h *Handler) warnTooLarge(size int64) {
	largest := max(size, h.largest.Load())
	h.largest.Store(largest) // If two requests come at the same time, one of their sizes may be lost.
	if h.warn(warnTooLarge, "largest_bytes", largest, "max_body_bytes", h.options.MaxBodyBytes) {
		h.largest.Store(0)
	}
}
