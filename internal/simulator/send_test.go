package simulator_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ticketbridge/ticketbridge/internal/simulator"
)

const secret = "a secret"

// receiver answers deliveries as a test wants, and keeps the received events.
type receiver struct {
	mu     sync.Mutex
	tries  map[string]int // by body
	answer func(w http.ResponseWriter, attempt int)
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	timestamp, err := strconv.ParseInt(request.Header.Get(simulator.TimestampHeader), 10, 64)
	if err != nil || time.Since(time.UnixMilli(timestamp)).Abs() > time.Minute {
		http.Error(w, "stale", http.StatusTeapot)
		return
	}
	if request.Method != http.MethodPost || request.Header.Get(simulator.SignatureHeader) != simulator.Sign(secret, body) {
		http.Error(w, "not signed", http.StatusTeapot)
		return
	}
	r.mu.Lock()
	if r.tries == nil {
		r.tries = map[string]int{}
	}
	r.tries[string(body)]++
	attempt := r.tries[string(body)]
	r.mu.Unlock()
	if r.answer != nil {
		r.answer(w, attempt)
	}
}

func mustServe(t *testing.T, handler http.Handler) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL + "/webhook"
}

// quick are options with which retries take milliseconds.
func quick(urls ...string) simulator.Options {
	return simulator.Options{
		URLs: urls, Secret: secret, RetryBase: time.Millisecond, RetryMax: 4 * time.Millisecond, GiveUpAfter: time.Minute,
	}
}

func events(n int) []simulator.Event {
	return slices.Collect(simulator.Generate(1, n, simulator.GenerateOptions{}))
}

// ignoreTimes removes values that differ between runs from a comparison.
var ignoreTimes = cmpopts.IgnoreFields(simulator.Summary{}, "P50", "P95", "P99", "Duration")

func mustSend(t *testing.T, sent []simulator.Event, options simulator.Options) simulator.Summary {
	t.Helper()
	summary, err := simulator.Send(t.Context(), slices.Values(sent), options)
	if err != nil {
		t.Fatal(err)
	}
	return summary
}

func TestSend_retriesUntilAcknowledged(t *testing.T) {
	t.Parallel()
	r := &receiver{answer: func(w http.ResponseWriter, attempt int) {
		switch attempt {
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 2:
			panic(http.ErrAbortHandler) // closes the connection without an answer
		case 3:
			w.WriteHeader(http.StatusBadRequest)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}}
	sent := events(20)
	options := quick(mustServe(t, r))
	var acknowledged []string
	options.OnAcknowledged = func(event simulator.Event) { acknowledged = append(acknowledged, event.ID) }
	summary := mustSend(t, sent, options)
	want := simulator.Summary{
		Events: 20, Acknowledged: 20, Deliveries: 80, Retries: 60, StatusCounts: map[int]int{503: 20, 0: 20, 400: 20, 204: 20},
	}
	if diff := cmp.Diff(want, summary, ignoreTimes); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(ids(sent), acknowledged, cmpopts.SortSlices(strings.Compare)); diff != "" {
		t.Error("acknowledged:", diff)
	}
	if !summary.AllAcknowledged() || summary.P50 <= 0 || summary.P99 < summary.P50 {
		t.Errorf("got %+v", summary)
	}
}

func TestSend_redirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	followed := mustServe(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	r := &receiver{answer: func(w http.ResponseWriter, attempt int) {
		if attempt == 1 {
			w.Header().Set("Location", followed)
			w.WriteHeader(http.StatusPermanentRedirect)
		}
	}}
	summary := mustSend(t, events(1), quick(mustServe(t, r)))
	want := simulator.Summary{Events: 1, Acknowledged: 1, Deliveries: 2, Retries: 1, StatusCounts: map[int]int{308: 1, 200: 1}}
	if diff := cmp.Diff(want, summary, ignoreTimes); diff != "" {
		t.Error(diff)
	}
}

func TestSend_duplicatesAreAdditionalDeliveries(t *testing.T) {
	t.Parallel()
	r := &receiver{}
	sent := events(10)
	duplicated := slices.Collect(simulator.Duplicate(slices.Values(sent), 1, 1))
	summary := mustSend(t, duplicated, quick(mustServe(t, r)))
	want := simulator.Summary{Events: 10, Acknowledged: 10, Deliveries: 20, Duplicates: 10, StatusCounts: map[int]int{200: 20}}
	if diff := cmp.Diff(want, summary, ignoreTimes); diff != "" {
		t.Error(diff)
	}
	for _, event := range sent {
		if got := r.tries[string(event.Body)]; got != 2 {
			t.Errorf("event %s came %d times, want 2", event.ID, got)
		}
	}
}

func TestSend_finalRefusal(t *testing.T) {
	t.Parallel()
	r := &receiver{answer: func(w http.ResponseWriter, _ int) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"message":"Unexpected event type"}`)
	}}
	options := quick(mustServe(t, r))
	options.RefusalIsFinal = true
	var answers []simulator.Answer
	options.OnFinished = func(_ simulator.Event, answer simulator.Answer) { answers = append(answers, answer) }
	summary := mustSend(t, events(1), options)
	if diff := cmp.Diff([]simulator.Answer{{Status: 400, Body: []byte(`{"message":"Unexpected event type"}`)}}, answers); diff != "" {
		t.Error(diff)
	}
	want := simulator.Summary{Events: 1, GivenUp: 1, Deliveries: 1, StatusCounts: map[int]int{400: 1}}
	if diff := cmp.Diff(want, summary, ignoreTimes); diff != "" {
		t.Error(diff)
	}
	if summary.AllAcknowledged() {
		t.Error("a given-up event counts as acknowledged")
	}
}

func TestSend_usesTheURLsInTurn(t *testing.T) {
	t.Parallel()
	down, up := &receiver{answer: func(w http.ResponseWriter, _ int) { w.WriteHeader(http.StatusBadGateway) }}, &receiver{}
	options := quick(mustServe(t, down), mustServe(t, up))
	options.Concurrency = 1
	summary := mustSend(t, events(10), options)
	if !summary.AllAcknowledged() || summary.StatusCounts[502] == 0 || summary.StatusCounts[502] > summary.Deliveries/2+1 {
		t.Errorf("got %+v, want every event to end at the URL that works, and the tries spread", summary)
	}
}

func TestSend_endsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	arrived := make(chan struct{}, 100)
	stuck := http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
		// The server can notice that the client has left only if the body was read to its end.
		_, _ = io.Copy(io.Discard, request.Body)
		arrived <- struct{}{}
		<-request.Context().Done()
	})
	why := errors.New("enough")
	go func() {
		<-arrived
		cancel(why)
	}()
	summary, err := simulator.Send(ctx, slices.Values(events(50)), quick(mustServe(t, stuck)))
	if !errors.Is(err, why) {
		t.Errorf("got %v, want the context's cause", err)
	}
	if summary.Events == 0 || summary.Acknowledged != 0 || summary.AllAcknowledged() {
		t.Errorf("got %+v, want events that are neither acknowledged nor given up", summary)
	}
}

func TestSend_checksAllOptions(t *testing.T) {
	t.Parallel()
	_, err := simulator.Send(t.Context(), slices.Values(events(1)), simulator.Options{URLs: []string{"localhost:80"}, Burst: 5, RetryBase: -1})
	for _, want := range []string{"localhost:80", "secret", "bursts need a rate", "negative"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not mention %q", err, want)
		}
	}
	if _, err := simulator.Send(t.Context(), slices.Values(events(1)), simulator.Options{Secret: secret}); err == nil {
		t.Error("no URL gave no error")
	}
}

// transport answers without a network, so that a test can use synctest's clock.
type transport func(*http.Request) int

func (f transport) RoundTrip(request *http.Request) (*http.Response, error) {
	recorder := httptest.NewRecorder()
	recorder.WriteHeader(f(request))
	return recorder.Result(), nil
}

// sendTimes returns the times of the tries, counted from the start.
func sendTimes(t *testing.T, n int, status int, change func(*simulator.Options)) ([]time.Duration, simulator.Summary) {
	t.Helper()
	var mu sync.Mutex
	var times []time.Duration
	start := time.Now()
	options := simulator.Options{URLs: []string{"http://receiver.test/"}, Secret: secret, Concurrency: 64}
	options.Transport = transport(func(*http.Request) int {
		mu.Lock()
		defer mu.Unlock()
		times = append(times, time.Since(start))
		return status
	})
	change(&options)
	return times, mustSend(t, events(n), options)
}

func TestSend_rate(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		burst int
		want  []time.Duration
	}{
		"evenly":    {1, []time.Duration{0, 100e6, 200e6, 300e6, 400e6, 500e6}},
		"in bursts": {3, []time.Duration{0, 0, 0, 300e6, 300e6, 300e6}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				times, _ := sendTimes(t, 6, http.StatusOK, func(o *simulator.Options) { o.Rate, o.Burst = 10, test.burst })
				if diff := cmp.Diff(test.want, times); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestSend_givesUpAfterItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		times, summary := sendTimes(t, 1, http.StatusInternalServerError, func(o *simulator.Options) {
			o.RetryBase, o.RetryMax, o.GiveUpAfter = time.Second, 8*time.Second, time.Minute
		})
		if summary.GivenUp != 1 || times[len(times)-1] > time.Minute || times[len(times)-1] < 50*time.Second {
			t.Errorf("given up %d, tries at %v: want tries for about a minute", summary.GivenUp, times)
		}
	})
}

func TestSend_reportsProgressEverySecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var seen []int
		sendTimes(t, 35, http.StatusOK, func(o *simulator.Options) {
			o.Rate = 10
			o.OnProgress = func(s simulator.Summary) { seen = append(seen, s.Events/10) }
		})
		if diff := cmp.Diff([]int{1, 2, 3}, seen); diff != "" {
			t.Error(diff)
		}
	})
}

func TestSend_limitsWaitingEventsInAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tried := map[string]bool{}
		var mu sync.Mutex
		start := time.Now()
		sendTimes(t, 100, 0, func(o *simulator.Options) {
			o.MaxWaiting, o.GiveUpAfter = 10, 10*time.Minute
			o.Transport = transport(func(request *http.Request) int {
				mu.Lock()
				defer mu.Unlock()
				tried[request.Header.Get(simulator.SignatureHeader)] = true
				if time.Since(start) < time.Minute {
					if len(tried) > 10 {
						t.Errorf("%d events were begun during the outage, want 10 at most", len(tried))
					}
					return http.StatusServiceUnavailable
				}
				return http.StatusOK
			})
		})
		if len(tried) != 100 {
			t.Errorf("%d events were tried in the end, want all", len(tried))
		}
	})
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		attempt int
		jitter  float64
		want    time.Duration
	}{
		{1, 0, time.Second}, {1, 1, time.Second / 2}, {2, 0, 2 * time.Second}, {4, 0, 8 * time.Second}, {5, 0, 10 * time.Second},
		{33, 0, 10 * time.Second}, {1000, 1, 5 * time.Second},
	} {
		if got := simulator.Backoff(test.attempt, time.Second, 10*time.Second, test.jitter); got != test.want {
			t.Errorf("Backoff(%d, jitter %v) = %v, want %v", test.attempt, test.jitter, got, test.want)
		}
	}
}
