package postgres_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/ticketbridge/ticketbridge/internal/postgresdb"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/postgres"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketcodec"
)

// TestOpen_indexesWordsOfAnOlderVersion has more tickets than are indexed in one transaction, one ticket that can't be decoded, and one
// that was erased. Several replicas start at once.
func TestOpen_indexesWordsOfAnOlderVersion(t *testing.T) {
	t.Parallel()
	url := postgresql.Database(t)
	old, err := postgresdb.Open(t.Context(), postgresdb.Options{URL: url, Schema: "ticketsvc", Migrations: postgres.Migrations[:1],
		Connections: 2})
	if err != nil {
		t.Fatal(err)
	}
	old.Close()
	const tickets = 500
	rows := &pgx.Batch{}
	for i := range tickets {
		record := ticket.NewState(fmt.Sprintf("t%d\x00", i))
		record.Apply(&ticket.Change{EventID: "e", Name: ticket.Created, OccurTime: tickettest.At(int64(i)), Fields: tickettest.Named("title"),
			Values: ticket.Ticket{Title: fmt.Sprintf("common word%d", i)}})
		content, stamps := ticketcodec.MarshalState(record)
		switch i {
		case 7:
			content = []byte{0xff}
		case 8:
			content, stamps = []byte{}, []byte{}
		}
		rows.Queue("INSERT INTO ticketsvc.tickets (ticket_id, erased, status, app_id, category_id, assigned_to, property_id, create_time,"+
			" update_time, stamps, content) VALUES ($1, $2, 0, '', '', '', '', '', $3, $4, $5)", postgresdb.EscapeText(record.Ticket.ID), i == 8,
			record.Ticket.UpdateTime.SortableText(), stamps, content)
	}
	if err := postgresql.Connect(t, url).SendBatch(t.Context(), rows).Close(); err != nil {
		t.Fatal(err)
	}

	stores := make([]*postgres.Store, 3)
	var group errgroup.Group
	for i := range stores {
		group.Go(func() (err error) {
			stores[i], err = postgres.Open(t.Context(), url, nil)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, store := range stores {
		for text, want := range map[string]int{"word7": 10, "word5": 11, "word499": 1, "word8": 10} {
			got, _, err := store.List(t.Context(), ticket.Filter{Text: text}, ticket.Order{}, nil,
				ticket.PageLimit{Items: tickets, Bytes: ticket.MaxPageBytes})
			if err != nil || len(got) != want {
				t.Errorf("List of %q = %d tickets, %v; want %d", text, len(got), err, want)
			}
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestOpen_rebuildsWordsWhileOthersWrite has one replica that records events of new and existing tickets while others rebuild the words.
func TestOpen_rebuildsWordsWhileOthersWrite(t *testing.T) {
	t.Parallel()
	const tickets, rounds, batch = 600, 20, 50
	url := postgresql.Database(t)
	writer := mustOpen(t, url)
	t.Cleanup(func() { _ = writer.Close() })
	random := rand.New(rand.NewPCG(17, 18))
	last := map[string]string{}
	record := func(round int) error {
		changes := make([]ticket.Change, batch)
		for i := range changes {
			c := ticket.Change{EventID: fmt.Sprintf("e%d-%d", round, i), Name: ticket.Updated,
				TicketID: fmt.Sprintf("t%d", random.IntN(tickets)), OccurTime: tickettest.At(int64(round*batch + i)),
				Fields: tickettest.Named("title"), Values: ticket.Ticket{Title: fmt.Sprintf("common word%d", random.IntN(10))}}
			changes[i], last[c.TicketID] = c, c.Values.Title
		}
		_, err := writer.Append(t.Context(), changes)
		return err
	}
	for round := range rounds {
		if err := record(round); err != nil {
			t.Fatal(err)
		}
	}
	postgresql.Execute(t, url, "UPDATE ticketsvc.ticket_words SET words = array_to_tsvector(ARRAY['wrong'])")
	postgresql.Execute(t, url, "UPDATE ticketsvc.words_version SET version = 'other'")

	var group errgroup.Group
	group.Go(func() error {
		for round := range rounds {
			if err := record(rounds + round); err != nil {
				return err
			}
		}
		return nil
	})
	for range 2 {
		group.Go(func() error {
			store, err := postgres.Open(t.Context(), url, nil)
			if err != nil {
				return err
			}
			return store.Close()
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"common": len(last), "wrong": 0}
	for _, title := range last {
		want[strings.Fields(title)[1]]++
	}
	for text, n := range want {
		got, _, err := writer.List(t.Context(), ticket.Filter{Text: text}, ticket.Order{}, nil,
			ticket.PageLimit{Items: tickets, Bytes: ticket.MaxPageBytes})
		if err != nil || len(got) != n {
			t.Errorf("List of %q = %d tickets, %v; want %d", text, len(got), err, n)
		}
	}
}

// TestStore_List_searchReadsNoMoreThanItMust explains both queries of a search among many tickets. All of these have one word, and few have
// another one. PostgreSQL's estimate for two words is wrong: no ticket has both, although each word is in half of the tickets.
func TestStore_List_searchReadsNoMoreThanItMust(t *testing.T) {
	t.Parallel()
	url := postgresql.Database(t)
	if err := mustOpen(t, url).Close(); err != nil {
		t.Fatal(err)
	}
	const tickets, limit = 20_000, 51
	conn := postgresql.Connect(t, url)
	for _, statement := range []string{
		"INSERT INTO ticketsvc.tickets (ticket_id, status, app_id, category_id, assigned_to, property_id, create_time, update_time, stamps," +
			" content) SELECT 't' || i, 0, '', '', '', '', '', to_char(i, 'FM0000000'), '', decode(repeat('00', 1000), 'hex')" +
			" FROM generate_series(1, " + strconv.Itoa(tickets) + ") AS i",
		"INSERT INTO ticketsvc.ticket_words (ticket_id, words) SELECT ticket_id, array_to_tsvector(array_remove(ARRAY['all'," +
			" 'w' || update_time, CASE WHEN right(update_time, 1) < '5' THEN 'low' ELSE 'high' END," +
			" CASE WHEN right(update_time, 3) = '000' THEN 'rare' END], NULL)) FROM ticketsvc.tickets",
		"VACUUM ANALYZE ticketsvc.tickets, ticketsvc.ticket_words",
	} {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		text string
		scan bool
		most int
	}{
		"words that all have, scanned":   {"all", true, postgres.MaxScanned + limit},
		"words that few have, scanned":   {"rare", true, postgres.MaxScanned + limit},
		"words that few have":            {"rare", false, tickets / 1000},
		"words that few have, shortened": {"rar", false, tickets / 1000},
		"a word that none has":           {"none", false, 0},
		"two words that none has":        {"low high", false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			statement, arguments := postgres.SearchStatement(ticket.Filter{Text: test.text},
				ticket.PageLimit{Items: limit - 1, Bytes: ticket.MaxPageBytes}, test.scan)
			plan, most := explain(t, conn, statement, arguments)
			if strings.Contains(plan, "Seq Scan") || most > test.most {
				t.Errorf("it reads up to %d rows, want %d:\n%s", most, test.most, plan)
			}
		})
	}
}
