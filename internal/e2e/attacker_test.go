package e2e_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
)

// attackEnv has the name of the attack that this binary is to make instead of running tests, and the two others the services' addresses.
const attackEnv, attackGatewayEnv, attackTicketsvcEnv = "ATTACK", "ATTACK_GATEWAY", "ATTACK_TICKETSVC"

// attacks are what one caller does to take all of something. Each lasts until its context ends.
var attacks = map[string]func(a *attacker, ctx context.Context){
	"answers that nobody reads":                (*attacker).leaveTicketsUnread,
	"answers in JSON that nobody reads":        (*attacker).leaveJSONUnread,
	"lists that nobody reads":                  (*attacker).leaveListsUnread,
	"a ticket's events that nobody reads":      (*attacker).leaveEventsUnread,
	"events with a million elements":           (*attacker).sendManyElements,
	"many requests of 61 kB":                   (*attacker).sendMediumRequests,
	"large requests that announce compression": (*attacker).announceCompression,
	"expensive reads":                          (*attacker).countText,
	"watchers":                                 (*attacker).watchOften,
	"small reads":                              (*attacker).readOften,
	"bodies just below a buffer's size":        (*attacker).sendSlowBodies,
	"idle connections":                         (*attacker).idle,
}

// attacker attacks from a process of its own, so that good calls do not wait for its goroutines. The process has the lowest priority:
// an attacker has a machine of its own, so the services do not share their processors with it.
type attacker struct {
	gateway, ticketsvc string
	// greedy reads with a token of its own over HTTP/2, and takes in no more of an answer than it is given with the first window.
	greedy *http.Client
}

// startAttack begins an attack, which lasts until the function that it returns is called.
func (a *attacked) startAttack(name string) (end func()) {
	a.t.Helper()
	command := exec.CommandContext(a.t.Context(), "nice", "-n", "19", os.Args[0])
	command.Env = append(os.Environ(), attackEnv+"="+name, attackGatewayEnv+"="+a.gateways[0].address,
		attackTicketsvcEnv+"="+a.ticketsvcs[0].address)
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	lifeline, err := command.StdinPipe()
	if err != nil {
		a.t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		a.t.Fatal(err)
	}
	end = sync.OnceFunc(func() {
		_ = lifeline.Close()
		if err := command.Wait(); err != nil {
			a.t.Errorf("the attacker: %v: %s", err, output.Bytes())
		}
	})
	a.t.Cleanup(end)
	return end
}

// attack makes the attack of that name until standard input ends.
func attack(name string) {
	protocols := &http.Protocols{}
	protocols.SetUnencryptedHTTP2(true)
	a := &attacker{gateway: os.Getenv(attackGatewayEnv), ticketsvc: os.Getenv(attackTicketsvcEnv),
		greedy: &http.Client{Transport: &http.Transport{Protocols: protocols, DisableCompression: true,
			HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10, MaxReceiveBufferPerConnection: 64 << 10}}}}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	attacks[name](a, ctx)
}

// post sends a request with a token and leaves its answer unread until ctx ends. Whatever is answered is right.
func (a *attacker) post(ctx context.Context, client *http.Client, procedure, token, contentType string, body io.Reader, headers ...string) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+a.ticketsvc+procedure, body)
	must(err)
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

func (a *attacker) leaveUnread(ctx context.Context, procedure, contentType string, message []byte) {
	parallel(ctx, 200, func(int) {
		a.post(ctx, a.greedy, procedure, greedyToken, contentType, bytes.NewReader(message))
	})
}

func (a *attacker) leaveTicketsUnread(ctx context.Context) {
	message := mustMarshal(&ticketv1.GetTicketRequest{TicketId: largeTicket})
	a.leaveUnread(ctx, ticketv1connect.TicketServiceGetTicketProcedure, "application/proto", message)
}

func (a *attacker) leaveJSONUnread(ctx context.Context) {
	a.leaveUnread(ctx, ticketv1connect.TicketServiceGetTicketProcedure, "application/json", []byte(`{"ticketId":"`+largeTicket+`"}`))
}

func (a *attacker) leaveListsUnread(ctx context.Context) {
	a.leaveUnread(ctx, ticketv1connect.TicketServiceListTicketsProcedure, "application/json", []byte(`{"pageSize":1000}`))
}

func (a *attacker) leaveEventsUnread(ctx context.Context) {
	a.leaveUnread(ctx, ticketv1connect.TicketServiceListTicketEventsProcedure, "application/json",
		[]byte(`{"ticketId":"`+busyTicket+`","pageSize":1000}`))
}

// sendManyElements sends events of a few kilobytes, compressed, that have a million elements, and asks for the ticket in JSON.
func (a *attacker) sendManyElements(ctx context.Context) {
	ticket := mustMarshal(&ticketv1.Ticket{TicketId: "elements"})
	for range 1_400_000 {
		ticket = append(protowire.AppendTag(ticket, 18, protowire.BytesType), 0)
	}
	request := mustMarshal(&ticketv1.TicketUpdatedRequest{
		Event:     &ticketv1.EventMetadata{EventId: "elements", OccurTime: &timestamppb.Timestamp{Seconds: 1}},
		FieldMask: &fieldmaskpb.FieldMask{Paths: []string{"custom_settings"}},
	})
	fields := (&ticketv1.TicketUpdatedRequest{}).ProtoReflect().Descriptor().Fields()
	request = protowire.AppendBytes(protowire.AppendTag(request, fields.ByName("ticket").Number(), protowire.BytesType), ticket)
	body := zipped(request)
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
func (a *attacker) sendMediumRequests(ctx context.Context) {
	part := []byte(strings.Repeat(`{"ticketIds":[`+strings.Repeat(`"a",`, 200)+`"a"]}`, 1))
	filler := bytes.Repeat([]byte(" "), 61<<10)
	parallel(ctx, 1000, func(int) {
		a.postSlowly(ctx, ticketv1connect.TicketServiceBatchGetTicketsProcedure, append(bytes.Clone(filler), part...))
	})
}

// postSlowly sends all of a request except its last byte, which comes when ctx ends.
func (a *attacker) postSlowly(ctx context.Context, procedure string, body []byte, headers ...string) {
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

func (a *attacker) announceCompression(ctx context.Context) {
	parallel(ctx, 64, func(int) {
		a.postSlowly(ctx, ticketv1connect.TicketServiceBatchGetTicketsProcedure, nil, "Content-Encoding", "gzip")
	})
}

// countText asks for statistics of a text, which no index serves.
func (a *attacker) countText(ctx context.Context) {
	parallel(ctx, 16, func(int) {
		a.post(ctx, a.greedy, ticketv1connect.TicketServiceGetTicketStatsProcedure, greedyToken, "application/json",
			strings.NewReader(`{"filter":{"text":"a"}}`))
	})
}

// readOften asks for a small ticket as often as it is let.
func (a *attacker) readOften(ctx context.Context) {
	tickets := ticketv1connect.NewTicketServiceClient(a.greedy, "http://"+a.ticketsvc, connect.WithInterceptors(showing(greedyToken)))
	parallel(ctx, 1000, func(int) { _, _ = tickets.GetTicket(ctx, &ticketv1.GetTicketRequest{TicketId: smallTicket}) })
}

// watchOften follows the tickets as often as it is let.
func (a *attacker) watchOften(ctx context.Context) {
	parallel(ctx, 4500, func(int) {
		a.post(ctx, a.greedy, ticketv1connect.TicketServiceWatchTicketsProcedure, greedyToken, "application/connect+json",
			bytes.NewReader(append([]byte{0, 0, 0, 0, 2}, "{}"...)))
	})
}

// sendSlowBodies sends bodies to the gateway that stop a little before their end.
func (a *attacker) sendSlowBodies(ctx context.Context) {
	body := append(fmt.Appendf(nil, "POST /webhook HTTP/1.1\r\nHost: gateway\r\n%s: %064d\r\nContent-Length: 16000\r\n\r\n",
		"x-allthings-signature", 0), make([]byte, 15_990)...)
	parallel(ctx, 3000, func(int) { a.hold(ctx, a.gateway, body) })
}

// idle opens connections, to each address of both services that strangers reach, and sends nothing.
func (a *attacker) idle(ctx context.Context) {
	parallel(ctx, 3000, func(i int) {
		a.hold(ctx, []string{a.gateway, a.ticketsvc}[i%2], nil)
	})
}

// hold sends something on a connection, and holds it until the other end closes it, or ctx ends.
func (a *attacker) hold(ctx context.Context, address string, data []byte) {
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

func mustMarshal(message proto.Message) []byte {
	data, err := proto.Marshal(message)
	must(err)
	return data
}

// zipped returns what gzip makes of data.
func zipped(data []byte) []byte {
	var compressed bytes.Buffer
	w := gzip.NewWriter(&compressed)
	_, err := w.Write(data)
	must(err)
	must(w.Close())
	return compressed.Bytes()
}

// must ends the attacker's process, which its test notices.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
