package simulator

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// Options are the options of [Send].
type Options struct {
	// URLs are the receiver's addresses. Tries go to them in turn, so a retry may go to another address than the try before. At least one.
	URLs []string
	// Secret is the webhook's shared secret.
	Secret string
	// Rate is the maximum number of events per second. Retries are sent in addition. 0 means as fast as answers arrive.
	Rate float64
	// Burst sends events in groups of this size, at the same average rate. 0 and 1 space the events evenly. Only with Rate.
	Burst int
	// Concurrency is the maximum number of tries at the same time. Default 16.
	Concurrency int
	// RetryBase is about the pause before the first retry. The pause doubles with each retry, up to RetryMax. Default 100 ms and 5 s.
	RetryBase, RetryMax time.Duration
	// GiveUpAfter is how long an event is retried, counted from its first try. Default 1 min. The provider retries for seven days.
	GiveUpAfter time.Duration
	// TryTimeout bounds one try, including its answer. Default 10 s.
	TryTimeout time.Duration
	// RefusalIsFinal is set if a status from 400 to 499 ends the tries of an event at once. Otherwise such an event is retried, as the
	// provider does.
	RefusalIsFinal bool
	// MaxWaiting is the maximum number of events that are being sent or wait for a retry. At this number no new event is taken. It bounds the
	// memory during an outage of the receiver. Default 10,000.
	MaxWaiting int
	// Seed determines the jitter of the back-off.
	Seed uint64
	// Transport makes the requests. By default Send makes a transport, with as many connections as Concurrency.
	Transport http.RoundTripper

	// The functions below may be nil. They are called one at a time, and sending waits for them.

	// OnAcknowledged is called for each 2xx, for an event and for its duplicates.
	OnAcknowledged func(Event)
	// OnFailed is called for each try that was not acknowledged, with the answer.
	OnFailed func(Answer)
	// OnFinished is called once for each event and each duplicate that will not be retried, with the last answer.
	OnFinished func(Event, Answer)
	// OnProgress is called about once a second.
	OnProgress func(Summary)
}

// Answer is the result of one try.
type Answer struct {
	// Status is the HTTP status code. 0 if there was no answer.
	Status int
	// Body is the beginning of the answer's body, up to 4 KiB.
	Body []byte
	// Err is the reason why there was no answer.
	Err error
}

// Acknowledged reports whether the receiver accepted the event: any 2xx. A redirect, which is not followed, does not count.
func (a Answer) Acknowledged() bool { return a.Status >= 200 && a.Status <= 299 }

const (
	progressInterval = time.Second
	// maxLag is the maximum time that a late sender makes up by sending faster.
	maxLag = time.Second
)

// Send delivers the events. It retries each event that is not acknowledged with a 2xx until it gives up on the event. A duplicate is an
// additional delivery, and is tried only once.
//
// It returns when all events are finished. If ctx ends before, current tries are cut off and the error is ctx's. The summary is right in
// both cases. Any other error is about the options, and nothing was sent.
func Send(ctx context.Context, events iter.Seq[Event], options Options) (Summary, error) {
	options = options.withDefaults()
	if err := options.check(); err != nil {
		return Summary{}, err
	}
	next, stop := iter.Pull(events)
	defer stop()
	s := &sender{
		options: options,
		pull:    next,
		random:  newRandom(options.Seed, backoffStream),
		tries:   make(chan try),
		results: make(chan result, options.Concurrency),
		started: time.Now(),
		summary: Summary{StatusCounts: map[int]int{}},
	}
	s.slot = s.started
	poster, closeIdle := newPoster(options)
	defer closeIdle()
	var workers sync.WaitGroup
	for range options.Concurrency {
		workers.Go(func() {
			for t := range s.tries {
				s.results <- result{delivery: t.delivery, answer: poster.post(ctx, t), took: time.Since(t.started)}
			}
		})
	}
	err := s.run(ctx)
	close(s.tries)
	workers.Wait()
	// A try that was cut off when ctx ended may have been acknowledged before.
	for s.inProgress > 0 {
		s.finish(ctx, <-s.results)
	}
	return s.snapshot(), err
}

func (o Options) withDefaults() Options {
	o.Concurrency = cmp.Or(o.Concurrency, 16)
	o.RetryBase = cmp.Or(o.RetryBase, 100*time.Millisecond)
	o.RetryMax = cmp.Or(o.RetryMax, 5*time.Second)
	o.GiveUpAfter = cmp.Or(o.GiveUpAfter, time.Minute)
	o.TryTimeout = cmp.Or(o.TryTimeout, 10*time.Second)
	o.MaxWaiting = cmp.Or(o.MaxWaiting, 10_000)
	o.Burst = max(1, o.Burst)
	return o
}

func (o Options) check() error {
	var errs []error
	if len(o.URLs) == 0 {
		errs = append(errs, errors.New("no URL to send to"))
	}
	for _, target := range o.URLs {
		if u, err := url.Parse(target); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			errs = append(errs, fmt.Errorf("%q is not an address such as http://127.0.0.1:8080/webhook", target))
		}
	}
	if o.Secret == "" {
		errs = append(errs, errors.New("no secret to sign with"))
	}
	if o.Rate < 0 || o.Concurrency < 0 || o.MaxWaiting < 0 {
		errs = append(errs, errors.New("rate, concurrency and waiting events can't be negative"))
	}
	if o.Burst > 1 && o.Rate == 0 {
		errs = append(errs, errors.New("bursts need a rate"))
	}
	if min(o.RetryBase, o.RetryMax, o.GiveUpAfter, o.TryTimeout) < 0 {
		errs = append(errs, errors.New("durations can't be negative"))
	}
	return errors.Join(errs...)
}

// Backoff returns the pause before a retry: about base before the first one (attempt 1), doubling up to longest. jitter, from 0 to 1,
// shortens the pause by up to half, so that deliveries that failed together are not retried together.
func Backoff(attempt int, base, longest time.Duration, jitter float64) time.Duration {
	pause := longest
	if shift := attempt - 1; shift < 32 && base<<shift>>shift == base {
		pause = min(longest, base<<shift)
	}
	return pause - time.Duration(jitter*float64(pause)/2)
}

// delivery is an event that is being delivered.
type delivery struct {
	event    Event
	attempts int
	first    time.Time // its first try
	due      time.Time // its next one
}

// try is one post of a delivery.
type try struct {
	delivery *delivery
	url      string
	started  time.Time
}

type result struct {
	delivery *delivery
	answer   Answer
	took     time.Duration
}

// sender decides when to try which delivery. One goroutine owns it; workers only post.
type sender struct {
	options Options
	pull    func() (Event, bool)
	random  *rand.Rand
	tries   chan try
	results chan result

	fresh      *delivery // the next event, not yet tried
	exhausted  bool
	retries    retryQueue
	inProgress int
	slot       time.Time // when the next fresh event may go
	inBurst    int

	started time.Time
	summary Summary
	latency latencies
}

func (s *sender) run(ctx context.Context) error {
	wake := time.NewTimer(0)
	defer wake.Stop()
	progress := time.NewTicker(progressInterval)
	defer progress.Stop()
	for {
		s.takeFresh()
		if s.fresh == nil && len(s.retries) == 0 && s.inProgress == 0 {
			return nil
		}
		now := time.Now()
		d, wait := s.choose(now)
		var tries chan<- try
		var t try
		if d != nil {
			tries, t = s.tries, try{delivery: d, url: s.options.URLs[s.summary.Deliveries%len(s.options.URLs)], started: now}
		}
		wake.Reset(wait)
		select {
		case tries <- t:
			s.launched(d, now)
		case r := <-s.results:
			s.finish(ctx, r)
		case <-wake.C:
		case <-progress.C:
			if s.options.OnProgress != nil {
				s.options.OnProgress(s.snapshot())
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// takeFresh takes the next event, if none is taken yet and the number of waiting events is below MaxWaiting.
func (s *sender) takeFresh() {
	if s.fresh != nil || s.exhausted || len(s.retries)+s.inProgress >= s.options.MaxWaiting {
		return
	}
	event, ok := s.pull()
	if !ok {
		s.exhausted = true
		return
	}
	s.fresh = &delivery{event: event}
}

// choose returns the delivery to try now. If there is none, it returns nil and how long to wait.
func (s *sender) choose(now time.Time) (*delivery, time.Duration) {
	wait := time.Hour
	if len(s.retries) > 0 {
		if wait = s.retries[0].due.Sub(now); wait <= 0 {
			return s.retries[0], time.Hour
		}
	}
	if s.fresh != nil {
		if untilSlot := s.slot.Sub(now); untilSlot > 0 {
			return nil, min(wait, untilSlot)
		}
		return s.fresh, wait
	}
	return nil, wait
}

// launched records that a worker has taken d.
func (s *sender) launched(d *delivery, now time.Time) {
	s.inProgress++
	s.summary.Deliveries++
	d.attempts++
	if d != s.fresh {
		s.summary.Retries++
		heap.Pop(&s.retries)
		return
	}
	d.first, s.fresh = now, nil
	if d.event.Duplicate {
		s.summary.Duplicates++
	} else {
		s.summary.Events++
	}
	if s.inBurst++; s.options.Rate > 0 && s.inBurst >= s.options.Burst {
		s.inBurst = 0
		s.slot = s.slot.Add(time.Duration(float64(s.options.Burst) / s.options.Rate * float64(time.Second)))
		if oldest := now.Add(-maxLag); s.slot.Before(oldest) {
			s.slot = oldest
		}
	}
}

// finish records the answer to an attempt. It schedules a retry of, or gives up on, a delivery that was not acknowledged.
func (s *sender) finish(ctx context.Context, r result) {
	s.inProgress--
	d := r.delivery
	if r.answer.Err != nil && ctx.Err() != nil {
		return
	}
	s.summary.StatusCounts[r.answer.Status]++
	if r.answer.Err == nil {
		s.latency.add(r.took)
	}
	if s.options.OnFailed != nil && !r.answer.Acknowledged() {
		s.options.OnFailed(r.answer)
	}
	switch {
	case r.answer.Acknowledged():
		if !d.event.Duplicate {
			s.summary.Acknowledged++
		}
		if s.options.OnAcknowledged != nil {
			s.options.OnAcknowledged(d.event)
		}
	case !d.event.Duplicate && s.scheduleRetry(d, r.answer):
		return
	case !d.event.Duplicate:
		s.summary.GivenUp++
	}
	if s.options.OnFinished != nil {
		s.options.OnFinished(d.event, r.answer)
	}
}

// scheduleRetry schedules a retry. It returns false if there is none.
func (s *sender) scheduleRetry(d *delivery, last Answer) bool {
	if s.options.RefusalIsFinal && last.Status >= 400 && last.Status <= 499 {
		return false
	}
	d.due = time.Now().Add(Backoff(d.attempts, s.options.RetryBase, s.options.RetryMax, s.random.Float64()))
	if d.due.Sub(d.first) > s.options.GiveUpAfter {
		return false
	}
	heap.Push(&s.retries, d)
	return true
}

// retryQueue is a heap. The delivery that is due first is on top.
type retryQueue []*delivery

func (q retryQueue) Len() int           { return len(q) }
func (q retryQueue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }
func (q retryQueue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *retryQueue) Push(d any)        { *q = append(*q, d.(*delivery)) }
func (q *retryQueue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = slices.Delete(*q, len(*q)-1, len(*q))
	return last
}
