package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/ticketbridge/ticketbridge/internal/simulator"
)

// sending is events on their way to a system's gateways.
type sending struct {
	progress chan struct{}
	done     chan struct{}
	// summary and err are what came of it, once done is closed.
	summary simulator.Summary
	err     error

	// mu guards what follows.
	mu           sync.Mutex
	count        int
	acknowledged map[string]map[string]bool // ticket id, event id
}

// send begins to send events to all gateways in turn.
func (s *system) send(t *testing.T, events iter.Seq[simulator.Event]) *sending {
	t.Helper()
	sending := &sending{progress: make(chan struct{}, 1), done: make(chan struct{}), acknowledged: map[string]map[string]bool{}}
	go func() {
		defer close(sending.done)
		sending.summary, sending.err = simulator.Send(t.Context(), events, simulator.Options{
			URLs: s.webhookURLs(), Secret: secret, Concurrency: 64, RetryBase: 20 * time.Millisecond, RetryMax: 500 * time.Millisecond,
			GiveUpAfter: 2 * time.Minute, OnAcknowledged: sending.acknowledge,
		})
	}()
	return sending
}

func (s *sending) acknowledge(e simulator.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	if s.acknowledged[e.TicketID] == nil {
		s.acknowledged[e.TicketID] = map[string]bool{}
	}
	s.acknowledged[e.TicketID][e.ID] = true
	select {
	case s.progress <- struct{}{}:
	default:
	}
}

// wait waits until at least so many deliveries were acknowledged.
func (s *sending) wait(t *testing.T, count int) {
	t.Helper()
	for !s.reached(count) {
		select {
		case <-s.progress:
		case <-s.done:
			if !s.reached(count) {
				t.Fatalf("sending ended before %d deliveries were acknowledged: %v", count, s.err)
			}
		}
	}
}

func (s *sending) reached(count int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count >= count
}

// finish waits until all is sent, which must be so many events, and returns the sorted ids of each ticket's events.
func (s *sending) finish(t *testing.T, events int) map[string][]string {
	t.Helper()
	<-s.done
	if s.err != nil || s.summary.Acknowledged != events {
		t.Fatalf("%d of %d events were acknowledged: %v", s.summary.Acknowledged, events, s.err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sorted := map[string][]string{}
	for ticketID, events := range s.acknowledged {
		sorted[ticketID] = slices.Sorted(maps.Keys(events))
	}
	return sorted
}

// post signs and posts a body, and returns the answer's status and body.
func post(ctx context.Context, client *http.Client, url string, body []byte) (status int, answer []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set(simulator.SignatureHeader, simulator.Sign(secret, body))
	request.Header.Set(simulator.TimestampHeader, strconv.FormatInt(time.Now().UnixMilli(), 10))
	response, err := client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	answer, err = io.ReadAll(response.Body)
	return response.StatusCode, answer, errors.Join(err, response.Body.Close())
}

// postToAll signs and posts a body to each gateway, which must answer with this status.
func (s *system) postToAll(t *testing.T, client *http.Client, body []byte, want int) {
	t.Helper()
	for _, url := range s.webhookURLs() {
		if status, _, err := post(t.Context(), client, url, body); err != nil || status != want {
			t.Errorf("a webhook is answered %d, %v; want %d", status, err, want)
		}
	}
}
