package e2e_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
	"github.com/ticketbridge/ticketbridge/internal/testkit/process"
	"github.com/ticketbridge/ticketbridge/internal/testkit/tickets"
)

// attackTime is how long each attack lasts. From 20 s on the attacks run one after the other, with the services' own memory settings and
// many tickets, and the latencies of good calls are judged.
var attackTime = flag.Duration("attack.time", 2*time.Second, "how long each attack lasts")

const (
	goodToken, greedyToken, gatewayToken, hostileToken = "token-of-good-readers", "token-of-a-greedy-reader",
		"token-of-the-gateway", "token-of-a-hostile-gateway"
	smallTicket, largeTicket, busyTicket = "small", "large", "busy"

	// maxResident is how much memory a service may have, in any attack.
	maxResident = 400 << 20
	// memoryLimit is what Go's collector is told to stay below in the short form.
	memoryLimit = "256MiB"
	// maxSlowdown is how much slower good calls may be in an attack than before it, as the 99th percentile.
	maxSlowdown = 3
)

// attacked is a system that is under attack.
type attacked struct {
	*system
	t *testing.T
}

// TestAttacks_othersAreServed has one caller take what it can, beside good traffic.
func TestAttacks_othersAreServed(t *testing.T) {
	t.Parallel()
	long := *attackTime >= 20*time.Second
	for engine, source := range map[string]func(t testing.TB) string{
		"SQLite":     func(t testing.TB) string { return "sqlite:" + t.TempDir() + "/" },
		"PostgreSQL": postgresql.Database,
	} {
		for _, name := range slices.Sorted(maps.Keys(attacks)) {
			t.Run(engine+"/"+name, func(t *testing.T) {
				if !long {
					t.Parallel()
				}
				a := newAttacked(t, source(t), long)
				good := newGoodTraffic(t, a.system)
				quiet, cancel := context.WithTimeout(t.Context(), *attackTime/4)
				before := good.run(quiet)
				cancel()
				for _, service := range a.services() {
					a.forgetPeak(service)
				}
				endAttack := a.startAttack(name)
				loaded, cancel := context.WithTimeout(t.Context(), *attackTime)
				during := good.run(loaded)
				cancel()
				// What was acknowledged reaches its ticket although the attack goes on.
				a.expectForwarded(good.delivered)
				endAttack()
				for _, service := range a.services() {
					a.expectPeak(service)
				}
				for _, kind := range slices.Sorted(maps.Keys(during)) {
					quiet, hurt := before[kind], during[kind]
					ratio := float64(hurt.percentile(0.99)) / float64(quiet.percentile(0.99))
					t.Logf("%-14s %5d calls, %d failed, p50 %6.1f ms, p99 %6.1f ms, %4.1f × quiet", kind, len(hurt.latencies), hurt.failures,
						milliseconds(hurt.percentile(0.5)), milliseconds(hurt.percentile(0.99)), ratio)
					if hurt.failures > 0 || quiet.failures > 0 {
						t.Errorf("%s: %d of %d calls failed, the first with: %v", kind, hurt.failures, len(hurt.latencies), hurt.first)
					}
					if long && ratio > maxSlowdown {
						t.Errorf("%s: p99 is %.1f × quiet, want at most %d", kind, ratio, maxSlowdown)
					}
				}
			})
		}
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func newAttacked(t *testing.T, database string, long bool) *attacked {
	t.Helper()
	settings := []string{
		"TICKETSVC_TOKENS=ingest=" + gatewayToken + ",ingest=" + hostileToken + ",read=" + goodToken + ",read=" + greedyToken,
		"GATEWAY_TICKETSVC_TOKEN=" + gatewayToken,
	}
	if !long {
		settings = append(settings, "GOMEMLIMIT="+memoryLimit)
	}
	of := func(service string) string {
		if path, ok := strings.CutPrefix(database, "sqlite:"); ok {
			return "sqlite:" + path + service + ".db"
		}
		return database
	}
	a := &attacked{t: t, system: startSystem(t, t.TempDir(), 1,
		append(settings, "TICKETSVC_DATABASE_URL="+of("ticketsvc"), "GATEWAY_DATABASE_URL="+of("gateway")))}
	if long {
		if err := tickets.Record(t.Context(), a.events(gatewayToken), 100_000); err != nil {
			t.Fatal(err)
		}
	}
	a.prepare()
	good := ticketv1connect.NewTicketServiceClient(http.DefaultClient, "http://"+a.ticketsvcs[0].address,
		connect.WithInterceptors(showing(goodToken)))
	a.tickets = good
	return a
}

// prepare records the tickets that the attacks are about.
func (a *attacked) prepare() {
	client := a.events(gatewayToken)
	record := func(event string, at int64, ticket *ticketv1.Ticket, fields ...string) {
		_, err := client.TicketUpdated(a.t.Context(), &ticketv1.TicketUpdatedRequest{
			Event:  &ticketv1.EventMetadata{EventId: event, OccurTime: &timestamppb.Timestamp{Seconds: at}},
			Ticket: ticket, FieldMask: &fieldmaskpb.FieldMask{Paths: fields},
		})
		if err != nil {
			a.t.Fatal(err)
		}
	}
	record("small", 1, &ticketv1.Ticket{TicketId: smallTicket, Title: "Heating"}, "title")
	// Random text, since it does not compress, and escapes, which JSON makes longer.
	noise := make([]byte, 700_000)
	_, _ = rand.Read(noise)
	text := base64.StdEncoding.EncodeToString(noise)
	for i, field := range []string{"a", "b", "c"} {
		record(fmt.Sprint("large-", i), 1, &ticketv1.Ticket{TicketId: largeTicket, Attributes: map[string]string{field: `"` + text + `"`}},
			"attributes")
	}
	names := map[string]string{}
	for i := range 9000 {
		names[fmt.Sprintf("a-name-of-an-attribute-%d", i)] = "1"
	}
	for i := range 60 {
		record(fmt.Sprint("busy-", i), int64(i), &ticketv1.Ticket{TicketId: busyTicket, Attributes: names}, "attributes")
	}
	for i := range 200 {
		record(fmt.Sprint("medium-", i), int64(i), &ticketv1.Ticket{TicketId: fmt.Sprint("medium-", i), Description: text[:100_000]},
			"description")
	}
}

func (a *attacked) events(token string) ticketv1connect.TicketEventServiceClient {
	return ticketv1connect.NewTicketEventServiceClient(http.DefaultClient, "http://"+a.ticketsvcs[0].address,
		connect.WithInterceptors(showing(token)))
}

// forgetPeak makes the kernel count a service's greatest memory from now on.
func (a *attacked) forgetPeak(s *service) {
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.PID()), []byte("5"), 0); err != nil {
		a.t.Log("the peak counts from the start:", err)
	}
}

// expectPeak fails where a service has exited, or took too much memory.
func (a *attacked) expectPeak(s *service) {
	usage, err := process.ReadUsage(s.PID())
	if err != nil {
		a.t.Errorf("%s: %v", s.log, err)
		return
	}
	select {
	case <-s.Exited():
		a.t.Errorf("%s: it exited", s.log)
	default:
	}
	a.t.Logf("%-14s peak %d MiB", strings.TrimSuffix(s.log[strings.LastIndexByte(s.log, '/')+1:], "-0.log"), usage.PeakResidentBytes>>20)
	if usage.PeakResidentBytes > maxResident {
		a.t.Errorf("%s: %d MiB of memory at its peak, want at most %d", s.log, usage.PeakResidentBytes>>20, maxResident>>20)
	}
}

// expectForwarded waits until what was delivered is recorded.
func (a *attacked) expectForwarded(delivered map[string]int) {
	a.t.Helper()
	for ticket, count := range delivered {
		a.waitForTicket(a.t, ticket, int64(count))
	}
}
