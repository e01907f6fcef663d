//go:build unix

package tickettest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// BenchmarkAppend appends batches of the events of [ProviderChange], as group commit makes them under load, to a store that grows. The
// sizes of the batches show the cost of a commit. open is called once for each size. It returns a new store, which it closes at the end of
// the benchmark.
func BenchmarkAppend(b *testing.B, open func(b *testing.B) ticket.Store) {
	for _, size := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			store := open(b)
			batch := make([]ticket.Change, size)
			b.ReportAllocs()
			before := processorTime(b)
			for number := 0; b.Loop(); {
				for i := range batch {
					batch[i] = ProviderChange(0, number)
					number++
				}
				recorded, err := store.Append(b.Context(), batch)
				if err != nil {
					b.Fatal(err)
				}
				for _, r := range recorded {
					if r.Err != nil || r.Duplicate {
						b.Fatal(r)
					}
				}
			}
			events := float64(b.N * size)
			b.ReportMetric(events/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64((processorTime(b)-before).Nanoseconds())/1000/events, "cpu-µs/event")
		})
	}
}

// BenchmarkSearch reads the first page of 50 tickets that have some words, newest first, from a store with many tickets. The words are in
// all tickets, in one of 10, of 100 and of 10,000, in none, and only in the older half. For comparison, it also reads the first page of all
// tickets. open returns a new store, which it closes at the end of the benchmark.
func BenchmarkSearch(b *testing.B, open func(b *testing.B) ticket.Store) {
	tickets := 200_000
	if testing.Short() {
		tickets = 2000
	}
	store := open(b)
	batch := make([]ticket.Change, 0, 500)
	for i := range tickets {
		c := ProviderChange(0, 3*i)
		c.Values.UpdateTime = c.OccurTime
		c.Values.Title = "all"
		for _, n := range []int{10, 100, 10_000} {
			// Random, but the same each time.
			if int(uint32(i)*2654435761>>8)%n == 0 {
				c.Values.Title += fmt.Sprintf(" in%d", n)
			}
		}
		if i < tickets/2 {
			c.Values.Title += " older"
		}
		if batch = append(batch, c); len(batch) == cap(batch) {
			if _, err := store.Append(b.Context(), batch); err != nil {
				b.Fatal(err)
			}
			batch = batch[:0]
		}
	}
	for _, text := range []string{"", "all", "in10 ", "in100 ", "in10000 ", "older", "none", "older in10 all", "older none"} {
		b.Run(fmt.Sprintf("text=%s", text), func(b *testing.B) {
			found := 0
			for b.Loop() {
				page, _, err := store.List(b.Context(), ticket.Filter{Text: text}, ticket.Order{Descending: true}, nil, entries(50))
				if err != nil {
					b.Fatal(err)
				}
				found = len(page)
			}
			b.ReportMetric(float64(found), "found")
		})
	}
}

// openTickets is the number of the newest tickets that updates are spread over.
const openTickets = 2000

// ProviderChange returns the event of this number in a stream like the provider's: one creation of a [providerTicket], then two small
// updates of such tickets, and so on. Each stream has its own tickets. The ids of tickets grow, as those of MongoDB do at the provider. The
// ids of events are in no order, like random ones, but each event has the same id in each run.
func ProviderChange(stream, number int) ticket.Change {
	at := At(int64(number))
	created := number / 3
	c := ticket.Change{
		EventID: fmt.Sprintf("%08x-5b7e-4a5e-%04x-%012d", uint32(number)*2654435761, stream, number), OccurTime: at, ReceiveTime: at,
	}
	if number%3 == 0 {
		c.Name, c.Fields, c.Values = ticket.Created, allFields, providerTicket
		c.Values.Description = describe(number)
	} else {
		created -= number * 7919 % min(openTickets, created+1)
		c.Name, c.Fields = ticket.Updated, closingFields
		c.Values = ticket.Ticket{StatusText: "closed", AssigneeID: "user-1", UpdateTime: at}
	}
	c.TicketID = fmt.Sprintf("%08x1e2d%04x%08x", 0x6a000000+created, stream, created)
	return c
}

// providerTicket is as large as a ticket of the provider: about 1.5 kB.
var providerTicket = func() ticket.Ticket {
	values := ticket.Ticket{
		AppID:       "82662ee4-0080-4960-8b8f-000000000001",
		IncrementID: "10432",
		Title:       "Heizung im Bad kalt",
		StatusText:  "waiting-for-agent", CategoryID: "5d1f2c3b4a59687766550001", CreatorID: "5b00c001",
		PropertyID: "property-2", UnitName: "3.02",
		Channels: []string{"App-82662ee4-0080-4960-8b8f-d7693e6ff3e4", "Property-778"}, LabelIDs: []string{"5e00aa01"}, Tags: []string{"heating"},
		FileIDs: []string{"5e00ff01", "5e00ff02"}, PhoneNumber: "+41790000001",
		CustomSettings: []ticket.CustomSetting{{Key: "room", Type: "string", Kind: ticket.TextValue, Value: "bathroom"}},
		CreateTime:     At(0), UpdateTime: At(0), LastStatusUpdateTime: At(0),
		Attributes: map[string]string{},
	}
	for _, name := range []string{"channelPaths", "customerWaitingSince", "customerWaitingSinceIndicator", "read", "sortHash",
		"unreadAdminMessages", "unreadUserMessages", "_embedded.category", "_embedded.conversations", "_embedded.createdBy",
		"_embedded.files", "_embedded.group", "_embedded.labels", "_embedded.property", "_embedded.unit"} {
		values.Attributes[name] = `{"id":"5b00c001","name":"something"}`
	}
	return values
}()

// describe returns a description of 20 words. A few words are in most tickets, and most words are in few tickets.
func describe(number int) string {
	random := rand.New(rand.NewPCG(uint64(number), 1))
	var b strings.Builder
	for range 20 {
		// There are 10,000 words. The rarest is in one of ten thousand tickets, the most frequent in every other ticket.
		n := int(10000 * math.Pow(random.Float64(), 3))
		for range 3 + n%3 {
			b.WriteString(syllables[n%len(syllables)])
			n = n/len(syllables) + 7*n
		}
		b.WriteByte(' ')
	}
	return b.String()
}

var syllables = []string{"hei", "zung", "kör", "per", "ent", "lüf", "tung", "was", "ser", "bad", "tür", "schloss",
	"licht", "strom", "kü", "che"}

var (
	allFields = func() (all ticket.FieldSet) {
		for f := range ticket.Fields() {
			all = all.With(f)
		}
		return all
	}()
	closingFields = Named("status_text", "assignee_id", "update_time")
)

// processorTime returns the time that this process has used on all processors. It does not include the wait for the disk.
func processorTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
