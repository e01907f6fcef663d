package postgres_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox/inboxtest"
	"github.com/ticketbridge/ticketbridge/gateway/internal/postgres"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
)

func TestStore_Subscribe_deliveriesOfAnotherGateway(t *testing.T) {
	t.Parallel()
	url := postgresql.Database(t)
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	t.Cleanup(watching.Wait)
	t.Cleanup(cancel)
	open := func() (*postgres.Store, <-chan struct{}) {
		store, err := postgres.Open(ctx, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		wakes := make(chan struct{}, 100)
		watching.Go(func() { store.Subscribe(ctx, func() { wakes <- struct{}{} }, func(err error) { t.Error(err) }) })
		// It is woken when it begins to listen, because it may have missed notifications.
		<-wakes
		return store, wakes
	}
	adding, _ := open()
	_, other := open()
	if _, err := adding.Add(ctx, []inbox.Incoming{inboxtest.Incoming("e", "body")}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-other:
	case <-time.After(30 * time.Second):
		t.Error("it was not told")
	}
}
