//go:build unix

package sqlite_test

import (
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/sqlite"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// fullTicket is a ticket as large as those of the provider: about 1.5 kB.
func fullTicket(app, property int) ticket.Ticket {
	values := ticket.Ticket{
		AppID:       fmt.Sprintf("82662ee4-0080-4960-8b8f-%012d", app),
		IncrementID: "10432",
		Title:       "Heizung im Bad kalt",
		Description: "Seit gestern Abend bleibt der Heizkörper kalt. Bereits zweimal entlüftet, es hilft nichts. Bitte um Rückruf am Nachmittag.",
		StatusText:  "waiting-for-agent", CategoryID: "5d1f2c3b4a59687766550001", CreatedBy: "5b00c001",
		PropertyID: fmt.Sprintf("property-%d", property), UnitName: "3.02",
		Channels: []string{"App-82662ee4-0080-4960-8b8f-d7693e6ff3e4", "Property-778"}, Labels: []string{"5e00aa01"}, Tags: []string{"heating"},
		Files: []string{"5e00ff01", "5e00ff02"}, PhoneNumber: "+41790000001",
		CustomSettings: []ticket.CustomSetting{{Key: "room", Type: "string", Kind: ticket.TextValue, Value: "bathroom"}},
		CreateTime:     ticket.Instant{Set: true, Seconds: 1_780_000_000}, UpdateTime: ticket.Instant{Set: true, Seconds: 1_780_000_000},
		LastStatusUpdateTime: ticket.Instant{Set: true, Seconds: 1_780_000_000},
		Attributes:           map[string]string{},
	}
	for _, name := range []string{"channelPaths", "customerWaitingSince", "customerWaitingSinceIndicator", "read", "sortHash",
		"unreadAdminMessages", "unreadUserMessages", "_embedded.category", "_embedded.conversations", "_embedded.createdBy",
		"_embedded.files", "_embedded.group", "_embedded.labels", "_embedded.property", "_embedded.unit"} {
		values.Attributes[name] = `{"id":"5b00c001","name":"something"}`
	}
	return values
}

func allFields() ticket.FieldSet {
	var all ticket.FieldSet
	for f := range ticket.Fields() {
		all = all.With(f)
	}
	return all
}

func fieldSet(names ...string) ticket.FieldSet {
	var set ticket.FieldSet
	for _, name := range names {
		f, ok := ticket.ParseField(name)
		if !ok {
			panic(name)
		}
		set = set.With(f)
	}
	return set
}

// processorTime returns the time that this process has had on all processors: the wait for the disk is not in it.
func processorTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// openTickets is among how many of the newest tickets updates are spread.
const openTickets = 2000

// BenchmarkRecord records, in batches such as group commit makes under load, creations of large tickets and twice as many updates of
// them, in a database that grows. Tickets have ids that grow, as MongoDB's do at the provider, and events random ones. The sizes of the
// batches show what a commit costs by itself.
func BenchmarkRecord(b *testing.B) {
	for _, size := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			store, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "tickets.db"))
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = store.Close() })
			values := fullTicket(1, 2)
			named, updated := allFields(), fieldSet("status_text", "assigned_to", "update_time")
			batch := make([]ticket.Change, 0, size)
			b.ReportAllocs()
			before := processorTime(b)
			for i := 0; b.Loop(); {
				batch = batch[:0]
				for range size {
					number := i / 3
					if i%3 != 0 {
						number -= i * 7919 % min(openTickets, number+1)
					}
					c := ticket.Change{
						EventID: fmt.Sprintf("%08x-5b7e-4a5e-8b8f-%012d", uint32(i)*2654435761, i), Name: ticket.Created,
						TicketID: fmt.Sprintf("%08x1e2d3b4a%08x", 0x6a000000+number, number), Named: named, Values: values,
						OccurTime:   ticket.Instant{Set: true, Seconds: 1_780_000_000 + int64(i)},
						ReceiveTime: ticket.Instant{Set: true, Seconds: 1_780_000_000 + int64(i)},
					}
					if i%3 != 0 {
						c.Name, c.Named = ticket.Updated, updated
						c.Values = ticket.Ticket{StatusText: "closed", AssignedTo: "user-1", UpdateTime: c.OccurTime}
					}
					batch = append(batch, c)
					i++
				}
				recorded, err := store.Record(b.Context(), batch)
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
