package e2e_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/base64"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/internal/postgrestest"
	"github.com/ticketbridge/ticketbridge/internal/process"
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

// attacks are what one caller does to take all of something. Each lasts until its context ends.
var attacks = map[string]func(a *attacked, ctx context.Context){
	"answers that nobody reads":                (*attacked).leaveTicketsUnread,
	"answers in JSON that nobody reads":        (*attacked).leaveJSONUnread,
	"lists that nobody reads":                  (*attacked).leaveListsUnread,
	"a ticket's events that nobody reads":      (*attacked).leaveEventsUnread,
	"events with a million elements":           (*attacked).sendManyElements,
	"many requests of 61 kB":                   (*attacked).sendMediumRequests,
	"large requests that announce compression": (*attacked).announceCompression,
	"expensive reads":                          (*attacked).countText,
	"watchers":                                 (*attacked).watchOften,
	"bodies just below a buffer's size":        (*attacked).sendSlowBodies,
	"idle connections":                         (*attacked).idle,
}

// attacked is a system that is under attack.
type attacked struct {
	*system
	t *testing.T
	// greedy reads with a token of its own over HTTP/2, and takes in no more of an answer than it is given with the first window.
	greedy *http.Client
}

// TestAttacks_othersAreServed has one caller take what it can, beside good traffic.
func TestAttacks_othersAreServed(t *testing.T) {
	t.Parallel()
	long := *attackTime >= 20*time.Second
	for engine, source := range map[string]func(t testing.TB) string{
		"SQLite":     func(t testing.TB) string { return "sqlite:" + t.TempDir() + "/" },
		"PostgreSQL": postgrestest.Database,
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
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				for _, service := range a.services() {
					a.forgetPeak(service)
				}
				attacking := make(chan struct{})
				go func() { defer close(attacking); attacks[name](a, ctx) }()
				loaded, enough := context.WithTimeout(ctx, *attackTime)
				during := good.run(loaded)
				enough()
				// What was acknowledged reaches its ticket although the attack goes on.
				a.expectForwarded(good.delivered)
				cancel()
				<-attacking
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
	if long {
		fill := exec.CommandContext(t.Context(), commands.Path(t, "fill"), "--database-url", of("ticketsvc"), "--tickets", "100000")
		if out, err := fill.CombinedOutput(); err != nil {
			t.Fatalf("filling: %v: %s", err, out)
		}
	}
	a := &attacked{t: t, system: startSystem(t, t.TempDir(), 1,
		append(settings, "TICKETSVC_DATABASE_URL="+of("ticketsvc"), "GATEWAY_DATABASE_URL="+of("gateway")))}
	protocols := &http.Protocols{}
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols, DisableCompression: true,
		HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10, MaxReceiveBufferPerConnection: 64 << 10}}
	t.Cleanup(transport.CloseIdleConnections)
	a.greedy = &http.Client{Transport: transport}
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
			Ticket: ticket, UpdateMask: &fieldmaskpb.FieldMask{Paths: fields},
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

// post sends a request with a token and leaves its answer unread until ctx ends. Whatever is answered is right.
func (a *attacked) post(ctx context.Context, client *http.Client, procedure, token, contentType string, body io.Reader, headers ...string) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+a.ticketsvcs[0].address+procedure, body)
	if err != nil {
		a.t.Error(err)
		return
	}
	request.Header.Set("Content-Type", contentType)
	request.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := client.Do(request)
	if err != nil {
		return
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		pause(ctx, 10*time.Millisecond)
		return
	}
	// An answer that was cut off is asked for anew: a byte that can't be read shows it.
	first := make([]byte, 1<<10)
	if _, err := io.ReadFull(response.Body, first); err != nil {
		return
	}
	pause(ctx, 15*time.Second)
}

// pause waits, as an attacker does between two tries.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// parallel runs so many of an attacker's loops until ctx ends.
func parallel(ctx context.Context, n int, attempt func(i int)) {
	var running sync.WaitGroup
	for i := range n {
		running.Go(func() {
			for ctx.Err() == nil {
				attempt(i)
			}
		})
	}
	running.Wait()
}

func (a *attacked) leaveUnread(ctx context.Context, procedure, contentType string, message []byte) {
	parallel(ctx, 200, func(int) {
		a.post(ctx, a.greedy, procedure, greedyToken, contentType, bytes.NewReader(message))
	})
}

func (a *attacked) leaveTicketsUnread(ctx context.Context) {
	message := mustMarshal(a.t, &ticketv1.GetTicketRequest{TicketId: largeTicket})
	a.leaveUnread(ctx, ticketv1connect.TicketServiceGetTicketProcedure, "application/proto", message)
}

func (a *attacked) leaveJSONUnread(ctx context.Context) {
	a.leaveUnread(ctx, ticketv1connect.TicketServiceGetTicketProcedure, "application/json", []byte(`{"ticketId":"`+largeTicket+`"}`))
}

func (a *attacked) leaveListsUnread(ctx context.Context) {
	a.leaveUnread(ctx, ticketv1connect.TicketServiceListTicketsProcedure, "application/json", []byte(`{"pageSize":1000}`))
}

func (a *attacked) leaveEventsUnread(ctx context.Context) {
	a.leaveUnread(ctx, ticketv1connect.TicketServiceListTicketEventsProcedure, "application/json",
		[]byte(`{"ticketId":"`+busyTicket+`","pageSize":1000}`))
}

// sendManyElements sends events of a few kilobytes, compressed, that have a million elements, and asks for the ticket in JSON.
func (a *attacked) sendManyElements(ctx context.Context) {
	ticket := mustMarshal(a.t, &ticketv1.Ticket{TicketId: "elements"})
	for range 1_400_000 {
		ticket = append(protowire.AppendTag(ticket, 18, protowire.BytesType), 0)
	}
	request := mustMarshal(a.t, &ticketv1.TicketUpdatedRequest{
		Event:      &ticketv1.EventMetadata{EventId: "elements", OccurTime: &timestamppb.Timestamp{Seconds: 1}},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"custom_settings"}},
	})
	fields := (&ticketv1.TicketUpdatedRequest{}).ProtoReflect().Descriptor().Fields()
	request = protowire.AppendBytes(protowire.AppendTag(request, fields.ByName("ticket").Number(), protowire.BytesType), ticket)
	body := zipped(a.t, request)
	parallel(ctx, 6, func(i int) {
		if i%2 == 0 {
			a.post(ctx, a.greedy, ticketv1connect.TicketEventServiceTicketUpdatedProcedure, hostileToken, "application/proto",
				bytes.NewReader(body), "Content-Encoding", "gzip")
			pause(ctx, 50*time.Millisecond)
		} else {
			a.post(ctx, a.greedy, ticketv1connect.TicketServiceGetTicketProcedure, greedyToken, "application/json",
				strings.NewReader(`{"ticketId":"elements"}`))
		}
	})
}

// sendMediumRequests has many requests under way that are all but complete.
func (a *attacked) sendMediumRequests(ctx context.Context) {
	part := []byte(strings.Repeat(`{"ticketIds":[`+strings.Repeat(`"a",`, 200)+`"a"]}`, 1))
	filler := bytes.Repeat([]byte(" "), 61<<10)
	parallel(ctx, 1000, func(int) {
		a.postSlowly(ctx, ticketv1connect.TicketServiceBatchGetTicketsProcedure, append(bytes.Clone(filler), part...))
	})
}

// postSlowly sends all of a request except its last byte, which comes when ctx ends.
func (a *attacked) postSlowly(ctx context.Context, procedure string, body []byte, headers ...string) {
	reader, writer := io.Pipe()
	go func() {
		if len(body) > 0 {
			_, _ = writer.Write(body[:len(body)-1])
		}
		<-ctx.Done()
		_ = writer.Close()
	}()
	defer func() { _ = reader.Close() }()
	a.post(ctx, a.greedy, procedure, greedyToken, "application/json", reader, headers...)
}

func (a *attacked) announceCompression(ctx context.Context) {
	parallel(ctx, 64, func(int) {
		a.postSlowly(ctx, ticketv1connect.TicketServiceBatchGetTicketsProcedure, nil, "Content-Encoding", "gzip")
	})
}

// countText asks for statistics of a text, which no index serves.
func (a *attacked) countText(ctx context.Context) {
	parallel(ctx, 16, func(int) {
		a.post(ctx, a.greedy, ticketv1connect.TicketServiceGetTicketStatsProcedure, greedyToken, "application/json",
			strings.NewReader(`{"filter":{"text":"a"}}`))
	})
}

// watchOften follows the tickets as often as it is let.
func (a *attacked) watchOften(ctx context.Context) {
	parallel(ctx, 4500, func(int) {
		a.post(ctx, a.greedy, ticketv1connect.TicketServiceWatchTicketsProcedure, greedyToken, "application/connect+json",
			bytes.NewReader(append([]byte{0, 0, 0, 0, 2}, "{}"...)))
	})
}

// sendSlowBodies sends bodies to the gateway that stop a little before their end.
func (a *attacked) sendSlowBodies(ctx context.Context) {
	body := append(fmt.Appendf(nil, "POST /webhook HTTP/1.1\r\nHost: gateway\r\n%s: %064d\r\nContent-Length: 16000\r\n\r\n",
		"x-allthings-signature", 0), make([]byte, 15_990)...)
	parallel(ctx, 3000, func(int) { a.hold(ctx, a.gateways[0].address, body) })
}

// idle opens connections, to each address of both services that strangers reach, and sends nothing.
func (a *attacked) idle(ctx context.Context) {
	parallel(ctx, 3000, func(i int) {
		a.hold(ctx, []string{a.gateways[0].address, a.ticketsvcs[0].address}[i%2], nil)
	})
}

// hold sends something on a connection, and holds it until the other end closes it, or ctx ends.
func (a *attacked) hold(ctx context.Context, address string, data []byte) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		pause(ctx, 100*time.Millisecond)
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	defer func() { _ = conn.Close() }()
	_, _ = conn.Write(data)
	_, _ = io.Copy(io.Discard, conn)
}

func mustMarshal(t *testing.T, message proto.Message) []byte {
	t.Helper()
	data, err := proto.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// zipped returns what gzip makes of data.
func zipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var compressed bytes.Buffer
	w := gzip.NewWriter(&compressed)
	_, err := w.Write(data)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return compressed.Bytes()
}
