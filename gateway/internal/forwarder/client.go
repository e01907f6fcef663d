package forwarder

import (
	"net"
	"net/http"
	"time"

	"connectrpc.com/connect"

	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
)

// maxAnswerBytes bounds an answer of ticketsvc. Its answers are a few bytes; an error's details may be more.
const maxAnswerBytes = 64 << 10

// NewClient returns a client of the ticketsvc at url that keeps a connection open for each of concurrency calls.
//
// It speaks Connect over HTTP/1.1: for small unary calls between two processes that costs a third less than HTTP/2, which shares one
// connection among all calls. docs/decisions.md has the figures.
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
		Transport: transport,
		// A redirect is not an answer of ticketsvc's, and following one would send tenants' data to an address that nobody set.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return ticketv1connect.NewTicketEventServiceClient(client, url,
		connect.WithReadMaxBytes(maxAnswerBytes),
		// Nothing worth compressing comes back.
		connect.WithAcceptCompression("gzip", nil, nil))
}
