package webhook_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// poster posts signed bodies over connections that it keeps.
type poster struct{ client http.Client }

func mustOpenPoster(tb testing.TB, connections int) *poster {
	tb.Helper()
	transport := &http.Transport{MaxIdleConns: connections, MaxIdleConnsPerHost: connections}
	tb.Cleanup(transport.CloseIdleConnections)
	return &poster{http.Client{Transport: transport, Timeout: hangTimeout, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}}
}

// post returns the status and the body of the answer.
func (p *poster) post(tb testing.TB, d *harness, body string) (int, string, error) {
	request, err := http.NewRequestWithContext(tb.Context(), http.MethodPost, "http://"+d.address+"/webhook", strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	request.Header.Set(signatureHeader, sign(secret, body))
	request.Header.Set(timestampHeader, at(0))
	response, err := p.client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

// Each event is posted by two senders at about the same time.
func TestHandler_concurrentSenders(t *testing.T) {
	t.Parallel()
	const senders, events = 64, 50
	d := mustServe(t)
	p := mustOpenPoster(t, senders)
	var group sync.WaitGroup
	for sender := range senders {
		group.Go(func() {
			for i := range events {
				for _, of := range []int{sender, (sender + 1) % senders} {
					status, text, err := p.post(t, d, bodyOf(fmt.Sprintf("e%d-%d", of, i)))
					if status != 200 || text != success.Body || err != nil {
						t.Errorf("answer %d %s, %v", status, text, err)
						return
					}
				}
			}
		})
	}
	group.Wait()
	for query, want := range map[string]int{
		"SELECT count(*) FROM deliveries":                                                         senders * events,
		"SELECT count(DISTINCT event_id) FROM deliveries WHERE state = 1":                         senders * events,
		"SELECT count(*) FROM payloads":                                                           senders * events,
		"SELECT count(DISTINCT p.body) FROM payloads p JOIN deliveries d ON p.delivery_id = d.id": senders * events,
	} {
		if got := d.count(t, query); got != want {
			t.Errorf("%s: %d, want %d", query, got, want)
		}
	}
}
