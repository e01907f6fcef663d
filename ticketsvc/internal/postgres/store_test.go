package postgres_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/postgres"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgresql.Main(m)) }

func TestStore(t *testing.T) {
	t.Parallel()
	tickettest.TestStore(t, func(t *testing.T) tickettest.Env {
		url := postgresql.Database(t)
		return tickettest.Env{
			Open: func(t *testing.T) ticket.Store {
				t.Helper()
				return mustOpen(t, url)
			},
			Shared: true,
			CorruptStored: func(t *testing.T, ticketID string, content, stamps []byte) {
				t.Helper()
				postgresql.Execute(t, url, "UPDATE ticketsvc.tickets SET content = $2, stamps = $3 WHERE ticket_id = $1", ticketID, content, stamps)
			},
			CorruptWords: func(t *testing.T, word string) {
				t.Helper()
				postgresql.Execute(t, url, "UPDATE ticketsvc.ticket_words SET words = array_to_tsvector(ARRAY[$1])", word)
				postgresql.Execute(t, url, "UPDATE ticketsvc.words_version SET version = $1", tickettest.FormerWordsVersion)
			},
			CorruptTime: func(t *testing.T, ticketID, text string) {
				t.Helper()
				postgresql.Execute(t, url, "UPDATE ticketsvc.events SET occur_time = $2, receive_time = $2 WHERE ticket_id = $1", ticketID, text)
			},
		}
	})
}

func mustOpen(t testing.TB, url string) *postgres.Store {
	t.Helper()
	store, err := postgres.Open(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func TestStore_Append_positionsDifferBetweenDatabases(t *testing.T) {
	t.Parallel()
	var databases [2]ticket.Store
	for i := range databases {
		store := mustOpen(t, postgresql.Database(t))
		t.Cleanup(func() { _ = store.Close() })
		databases[i] = store
	}
	tickettest.CheckNonces(t, databases)
}

func TestStore_Append_loadsFewLargeTicketsAtOnce(t *testing.T) {
	url := postgresql.Database(t)
	tickettest.TestLargeTickets(t, func(t *testing.T) ticket.Store { return mustOpen(t, url) })
}
