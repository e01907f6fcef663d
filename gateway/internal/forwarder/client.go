package forwarder

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
)

// maxAnswerBytes bounds an answer of ticketsvc. Its answers are a few bytes; an error's details may be more.
const maxAnswerBytes = 64 << 10

// NewClient returns a client of the ticketsvc at url that keeps a connection open for each of concurrency calls.
//
// It speaks Connect over HTTP/1.1: for small unary calls that makes a third more calls than HTTP/2, which shares one connection among all of
// them. docs/decisions.md has the figures.
func NewClient(url string, concurrency int) ticketv1connect.TicketEventServiceClient {
	dialer := &net.Dialer{Timeout: time.Second, KeepAlive: 15 * time.Second}
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		TLSHandshakeTimeout:   2 * time.Second,
		MaxIdleConns:          concurrency,
		MaxIdleConnsPerHost:   concurrency,
		IdleConnTimeout:       90 * time.Second,
		DisableCompression:    true,
		ExpectContinueTimeout: time.Second,
	}
	client := &http.Client{
		Transport: ticketsvcOnly{transport},
		// A redirect is not an answer of ticketsvc's, and following one would send tenants' data to an address that nobody set.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return ticketv1connect.NewTicketEventServiceClient(client, url,
		connect.WithReadMaxBytes(maxAnswerBytes),
		// Nothing worth compressing comes back.
		connect.WithAcceptCompression("gzip", nil, nil))
}

// notTicketsvcError says that something else than ticketsvc answered: a proxy in between, or whatever is at a URL that is set wrong. It
// says nothing about the event.
type notTicketsvcError struct {
	status int
}

func (e *notTicketsvcError) Error() string {
	return fmt.Sprintf("the answer is not one of ticketsvc's: HTTP status %d", e.status)
}

// mayPass tells whether the answer is of the kind that a proxy gives while ticketsvc is away, rather than one of a wrong URL.
func (e *notTicketsvcError) mayPass() bool {
	return e.status >= http.StatusInternalServerError && e.status != http.StatusNotImplemented ||
		e.status == http.StatusRequestTimeout || e.status == http.StatusTooManyRequests
}

// ticketsvcOnly lets through those answers only that speak the Connect protocol: a message, or an error as JSON. What else answers would
// be taken for a verdict on the event.
type ticketsvcOnly struct {
	http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (t ticketsvcOnly) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := t.RoundTripper.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	want := "application/json"
	if response.StatusCode == http.StatusOK {
		want = "application/proto"
	}
	if contentType, _, _ := strings.Cut(response.Header.Get("Content-Type"), ";"); contentType != want {
		_, _ = io.CopyN(io.Discard, response.Body, maxAnswerBytes)
		_ = response.Body.Close()
		return nil, &notTicketsvcError{status: response.StatusCode}
	}
	return response, nil
}
