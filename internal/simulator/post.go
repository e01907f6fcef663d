package simulator

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strconv"
	"time"
)

// maxAnswer is the maximum number of bytes that are read of an answer. A connection with a longer answer is not reused.
const maxAnswer = 4096

// poster makes single tries.
type poster struct {
	client http.Client
	secret string
}

// newPoster returns a poster, and a function that closes its idle connections.
func newPoster(options Options) (*poster, func()) {
	transport, closeIdle := options.Transport, func() {}
	if transport == nil {
		// No proxy from the environment: the simulator calls the given address directly.
		own := &http.Transport{MaxIdleConnsPerHost: options.Concurrency, IdleConnTimeout: time.Minute, DisableCompression: true}
		transport, closeIdle = own, own.CloseIdleConnections
	}
	return &poster{
		secret: options.Secret,
		client: http.Client{
			Transport: transport,
			Timeout:   options.TryTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error {
				return http.ErrUseLastResponse
			},
		},
	}, closeIdle
}

// post delivers an event once, signed with the current time.
func (p *poster) post(ctx context.Context, t try) Answer {
	body := t.delivery.event.Body
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, bytes.NewReader(body))
	if err != nil {
		return Answer{Err: err}
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "ticketbridge-simulator")
	request.Header.Set(SignatureHeader, Sign(p.secret, body))
	request.Header.Set(TimestampHeader, strconv.FormatInt(time.Now().UnixMilli(), 10))
	response, err := p.client.Do(request)
	if err != nil {
		return Answer{Err: err}
	}
	defer func() { _ = response.Body.Close() }()
	// Only the status counts. If the body is cut off after it, the result is the same.
	answer, _ := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	return Answer{Status: response.StatusCode, Body: answer}
}
