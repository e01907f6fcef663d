package forwarder

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
)

// maxAnswerBytes, maxErrorBytes and maxAnswerHeaderBytes bound an answer of ticketsvc. The largest answers have the errors of 256 events.
const maxAnswerBytes, maxErrorBytes, maxAnswerHeaderBytes = 1 << 20, 64 << 10, 16 << 10

// ClientOptions are the options of a client of ticketsvc, in addition to its URL.
type ClientOptions struct {
	// Token returns the token to send, which may change from call to call, or an empty string for none. Nil means none.
	Token func() string
	// Authorities are the certificate authorities that are trusted for ticketsvc's certificate. Nil means the system's.
	Authorities *x509.CertPool
}

// NewClient returns a client of the ticketsvc at url.
//
// It uses Connect over HTTP/1.1. With small unary calls that gives a third more calls per second than HTTP/2, which uses one connection for
// all of them. docs/decisions.md has the figures.
func NewClient(url string, options ClientOptions) ticketv1connect.TicketEventServiceClient {
	dialer := &net.Dialer{Timeout: time.Second, KeepAlive: 15 * time.Second}
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialer.DialContext,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: options.Authorities},
		TLSHandshakeTimeout: 2 * time.Second,
		MaxIdleConns:        maxEvents,
		MaxIdleConnsPerHost: maxEvents,
		// Shorter than ticketsvc's own two minutes, so that no call is sent on a connection that ticketsvc is just closing. A connection whose
		// other end is gone is detected by the deadline of the call that gets it. The call then closes it.
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: maxAnswerHeaderBytes,
		DisableCompression:     true,
		ExpectContinueTimeout:  time.Second,
	}
	client := &http.Client{
		Transport: ticketsvcOnly{transport},
		// A redirect does not come from ticketsvc. Following it would send tenants' data, and the token, to an address that nobody set.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return ticketv1connect.NewTicketEventServiceClient(client, url,
		connect.WithReadMaxBytes(maxAnswerBytes),
		connect.WithInterceptors(withBearerToken(options.Token)),
		// No response is worth compressing.
		connect.WithAcceptCompression("gzip", nil, nil))
}

// withBearerToken makes every call send the current token.
func withBearerToken(token func() string) connect.UnaryInterceptorFunc {
	return func(next connect.UnaryFunc) connect.UnaryFunc {
		if token == nil {
			return next
		}
		return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
			if shown := token(); shown != "" {
				request.Header().Set("Authorization", "Bearer "+shown)
			}
			return next(ctx, request)
		}
	}
}

// foreignAnswerError is returned if something other than ticketsvc answered: a proxy in between, or another server at a wrong URL. It says
// nothing about the event.
type foreignAnswerError struct {
	status int
}

func (e *foreignAnswerError) Error() string {
	return fmt.Sprintf("something other than ticketsvc answered: HTTP status %d", e.status)
}

// ticketsvcOnly accepts only answers of the Connect protocol: a message, or an error. Connect itself reads any JSON as an error, with a
// code that it derives from the HTTP status.
type ticketsvcOnly struct {
	http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (t ticketsvcOnly) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := t.RoundTripper.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	contentType, _, _ := strings.Cut(response.Header.Get("Content-Type"), ";")
	if response.StatusCode == http.StatusOK && contentType == "application/proto" {
		return response, nil
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxErrorBytes))
	_ = response.Body.Close()
	switch {
	case err != nil:
		return nil, err
	case response.StatusCode == http.StatusOK || contentType != "application/json" || !isConnectError(body):
		return nil, &foreignAnswerError{status: response.StatusCode}
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	return response, nil
}

// isConnectError reports whether body is an error of the Connect protocol, with one of its codes.
func isConnectError(body []byte) bool {
	var parsed struct {
		Code    connect.Code `json:"code"`
		Message string       `json:"message"`
		Details []*struct {
			Type  string `json:"type"`
			Value string `json:"value"`
		} `json:"details"`
	}
	if json.Unmarshal(body, &parsed) != nil {
		return false
	}
	_, known := outcomeClasses[parsed.Code]
	// Connect accepts a null as a detail, and panics when the detail is read.
	return known && !slices.Contains(parsed.Details, nil)
}
