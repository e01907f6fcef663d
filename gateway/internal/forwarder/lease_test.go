package forwarder_test

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/ticketbridge/ticketbridge/gateway/internal/forwarder"
	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
)

// leaseBox is an inbox that records for how long it was asked to lease.
type leaseBox struct {
	*box
	leases chan time.Duration
}

func (b *leaseBox) Claim(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]inbox.Delivery, error) {
	select {
	case b.leases <- lease:
	default:
	}
	return b.box.Claim(ctx, now, lease, limit)
}

func TestForwarder_aLeaseCoversACallAndLittleMore(t *testing.T) {
	t.Parallel()
	const callTimeout = 3 * time.Second
	b := &leaseBox{box: newBox(t), leases: make(chan time.Duration, 1)}
	client := forwarder.NewClient("http://127.0.0.1:1", forwarder.ClientOptions{})
	f := forwarder.New(b, client, forwarder.Options{CallTimeout: callTimeout,
		MaxAttempts: maxAttempts, Now: time.Now, Random: func() float64 { return 0 }, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f.Run(ctx)
	}()
	lease := <-b.leases
	cancel()
	<-ended
	// Claimed deliveries are called at once.
	if least, most := callTimeout, callTimeout+10*time.Second; lease <= least || lease > most {
		t.Errorf("the lease is %v, want more than %v and at most %v", lease, least, most)
	}
}

// slowBox is an inbox whose claims block until they are released.
type slowBox struct {
	*box
	claiming, goOn chan struct{}
	cut            error
}

func (b *slowBox) Claim(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]inbox.Delivery, error) {
	b.claiming <- struct{}{}
	<-b.goOn
	b.cut = ctx.Err()
	return b.box.Claim(ctx, now, lease, limit)
}

func TestForwarder_Run_stopRequeuesWhatIsBeingClaimed(t *testing.T) {
	t.Parallel()
	b := &slowBox{box: newBox(t), claiming: make(chan struct{}), goOn: make(chan struct{})}
	b.addMany(t, 10)
	f := forwarder.New(b, forwarder.NewClient("http://127.0.0.1:1", forwarder.ClientOptions{}),
		forwarder.Options{CallTimeout: time.Second, MaxAttempts: maxAttempts, Now: time.Now, Random: func() float64 { return 0 },
			Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f.Run(ctx)
	}()
	<-b.claiming
	cancel()
	close(b.goOn)
	<-ended
	if b.cut != nil {
		t.Errorf("the claim was cut off: %v", b.cut)
	}
	if claimed, err := b.box.Claim(t.Context(), time.Now(), time.Second, 100); err != nil || len(claimed) != 10 {
		t.Errorf("%d deliveries can be claimed after the stop, %v; want all 10", len(claimed), err)
	}
}
