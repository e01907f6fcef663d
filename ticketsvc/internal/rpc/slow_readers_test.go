//go:build linux

package rpc_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/internal/goruntime"
	"github.com/ticketbridge/ticketbridge/internal/httpserver"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/postgres"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/sqlite"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/watch"
)

// servedDatabase is the environment variable with the database that a separate process serves.
const servedDatabase = "TEST_SERVED_DATABASE"

// mustOpenURL opens a database of any engine.
func mustOpenURL(t *testing.T, url string) ticket.Store {
	t.Helper()
	var store ticket.Store
	var err error
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		store, err = sqlite.Open(t.Context(), path)
	} else {
		store, err = postgres.Open(t.Context(), url, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// serveAlone serves a database with tokens until its standard input ends, and then prints the maximum memory of the process. A caller that
// does not read loses its call after 2.5 s. Then the next call that waits for memory gets the memory.
func serveAlone(t *testing.T, url string) {
	goruntime.Tune(os.LookupEnv)
	store := mustOpenURL(t, url)
	log := slog.New(slog.DiscardHandler)
	limits := patient
	limits.Stall = 2 * time.Second
	service := rpc.NewLimited(store, log, watch.DefaultLimits(), limits)
	server, err := httpserver.Listen(t.Context(), "127.0.0.1:0", service.NewServer(rpc.Security{Tokens: mustCredentials(t)}, log))
	if err != nil {
		t.Fatal(err)
	}
	server.Start(func(err error) { t.Error(err) })
	fmt.Println("serving at", server.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(regexp.MustCompile(`VmHWM:\s+\d+ kB`).FindString(string(status)))
	os.Exit(0) // Callers that do not read would delay a normal end.
}

// aloneServer is a service in a separate process.
type aloneServer struct {
	address string
	// peak ends the service, and returns its maximum memory in MiB.
	peak func() int
}

func startAlone(t *testing.T, url string, environment ...string) *aloneServer {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), self, "-test.run=^"+t.Name()[:strings.IndexByte(t.Name(), '/')]+"$")
	command.Env = append(append(os.Environ(), servedDatabase+"="+url), environment...)
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	s := &aloneServer{}
	for s.address == "" && lines.Scan() {
		s.address, _ = strings.CutPrefix(lines.Text(), "serving at ")
	}
	s.peak = sync.OnceValue(func() int {
		_ = stdin.Close()
		peak := 0
		for lines.Scan() {
			if found := regexp.MustCompile(`VmHWM:\s+(\d+)`).FindStringSubmatch(lines.Text()); found != nil {
				peak, _ = strconv.Atoi(found[1])
			}
		}
		if err := command.Wait(); err != nil {
			t.Errorf("the service ended with %v", err)
		}
		return peak >> 10
	})
	t.Cleanup(func() { s.peak() })
	return s
}

// neverRead makes calls of one procedure with gRPC, all on one connection, and never reads the responses: HTTP/2 lets the service send 64
// KiB of all responses together. It returns after all calls have ended, with or without an error.
func neverRead(ctx context.Context, address, procedure, codec string, message proto.Message, calls int) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	var body []byte
	if codec == "json" {
		body, err = rpc.JSONCodec.Marshal(message)
	} else {
		body, err = proto.Marshal(message)
	}
	if err != nil {
		return err
	}
	body = append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body))), body...)
	var headers []byte
	for _, header := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", procedure}, {":authority", address},
		{"content-type", "application/grpc+" + codec}, {"te", "trailers"}, {"authorization", "Bearer " + tokens["read"]}} {
		headers = append(headers, 0, byte(len(header[0])))
		headers = append(append(headers, header[0]...), byte(len(header[1])))
		headers = append(headers, header[1]...)
	}
	const dataFrame, headersFrame, resetFrame, endStream, endHeaders = 0, 1, 3, 1, 4
	http2Frame := func(to []byte, kind, flags byte, stream uint32, payload []byte) []byte {
		to = append(to, byte(len(payload)>>16), byte(len(payload)>>8), byte(len(payload)), kind, flags)
		return append(binary.BigEndian.AppendUint32(to, stream), payload...)
	}
	out := http2Frame([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), settingsFrame, 0, 0, nil)
	for i := range calls {
		stream := uint32(2*i + 1)
		out = http2Frame(http2Frame(out, headersFrame, endHeaders, stream, headers), dataFrame, endStream, stream, body)
	}
	var writing sync.Mutex
	written := make(chan error, 1)
	go func() {
		writing.Lock()
		defer writing.Unlock()
		_, err := conn.Write(out)
		written <- err
	}()
	for ended := 0; ended < calls; {
		f, payload, err := readFrame(conn)
		if err != nil {
			return err
		}
		switch {
		case f.kind == settingsFrame && f.flags != acknowledges, f.kind == pingFrame && f.flags != acknowledges:
			if f.kind == settingsFrame {
				payload = nil
			}
			go func() {
				writing.Lock()
				defer writing.Unlock()
				_, _ = conn.Write(http2Frame(nil, f.kind, acknowledges, 0, payload))
			}()
		case f.kind == resetFrame, (f.kind == headersFrame || f.kind == dataFrame) && f.flags&endStream != 0:
			ended++
		case f.kind == goAwayFrame:
			return errors.New("the service closes the connection")
		}
	}
	return <-written
}

// recordLarge records tickets that are large in different ways, and a small one.
func recordLarge(t *testing.T, store ticket.Store) {
	t.Helper()
	changes := []ticket.Change{titled("small", "small", 1, "small"), titled("text", "text", 1, strings.Repeat("x", 3<<20))}
	for i := range 60 {
		changes = append(changes, titled(fmt.Sprint("page", i), fmt.Sprint("page", i), 2, strings.Repeat("x", 50<<10)))
	}
	attributes := map[string]string{}
	for i := range 20_000 {
		attributes[strconv.FormatInt(int64(i+36*36*36), 36)] = ""
	}
	for i := range 60 {
		changes = append(changes, ticket.Change{EventID: fmt.Sprint("events", i), Name: ticket.Updated, TicketID: "events",
			OccurTime: tickettest.At(int64(i)), Values: ticket.Ticket{Attributes: attributes}})
	}
	changes = append(changes, ticket.Change{EventID: "events", Name: ticket.Updated, TicketID: "events", OccurTime: tickettest.At(100),
		Fields: tickettest.Named("title"), FullSnapshot: true, Values: ticket.Ticket{Title: "events"}},
		ticket.Change{EventID: "elements", Name: ticket.Updated, TicketID: "elements", OccurTime: tickettest.At(0),
			Fields: tickettest.Named("custom_settings"), Values: ticket.Ticket{CustomSettings: make([]ticket.CustomSetting, 200_000)}})
	// Each call reads and writes a ticket once, and is short enough for a busy machine.
	for some := range slices.Chunk(changes, 10) {
		mustRecord(t, store, some...)
	}
}

// maxPeak is the maximum memory of the service in MiB. It is a little above the limit to which the garbage collector lets the heap grow.
const maxPeak = 350

// raceMemory is the factor by which a process may take more memory under the race detector. The attacks of internal/e2e test the service
// itself without the race detector.
var raceMemory = 1

// TestResponseMemory_nobodyReads has a caller that makes many calls for large responses and reads nothing, while another caller reads a
// small ticket. The service must keep its memory limit, and the other caller must get its responses.
func TestResponseMemory_nobodyReads(t *testing.T) {
	if url := os.Getenv(servedDatabase); url != "" {
		serveAlone(t, url)
	}
	t.Parallel()
	for engine, url := range map[string]string{"SQLite": "sqlite:" + filepath.Join(t.TempDir(), "tickets.db"),
		"PostgreSQL": postgresql.Database(t)} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			store := mustOpenURL(t, url)
			recordLarge(t, store)
			if err := store.Close(); err != nil {
				t.Fatal(err)
			}
			for name, attack := range map[string]struct {
				procedure, codec string
				message          proto.Message
				calls            int
			}{
				"a ticket":         {ticketv1connect.TicketServiceGetTicketProcedure, "proto", &ticketv1.GetTicketRequest{TicketId: "text"}, 200},
				"a ticket in JSON": {ticketv1connect.TicketServiceGetTicketProcedure, "json", &ticketv1.GetTicketRequest{TicketId: "text"}, 200},
				"elements":         {ticketv1connect.TicketServiceGetTicketProcedure, "proto", &ticketv1.GetTicketRequest{TicketId: "elements"}, 10},
				"pages":            {ticketv1connect.TicketServiceListTicketsProcedure, "proto", &ticketv1.ListTicketsRequest{PageSize: 1000}, 50},
				"events": {ticketv1connect.TicketServiceListTicketEventsProcedure, "proto",
					&ticketv1.ListTicketEventsRequest{TicketId: "events", PageSize: 1000}, 20},
			} {
				t.Run(name, func(t *testing.T) {
					// The attacks run one after the other, because only one process can use an SQLite file.
					s := startAlone(t, url)
					attacking := make(chan error, 1)
					go func() {
						attacking <- neverRead(t.Context(), s.address, attack.procedure, attack.codec, attack.message, attack.calls)
					}()
					c := newClient(t, &server{url: "http://" + s.address}, "gRPC", connect.WithInterceptors(shows(tokens["admin"])))
					good, slowest, begin := 0, time.Duration(0), time.Now()
					pace := time.NewTicker(10 * time.Millisecond)
					defer pace.Stop()
					for attacked := false; !attacked; {
						select {
						case err := <-attacking:
							if attacked = true; err != nil {
								t.Error(err)
							}
						case <-pace.C:
							begin := time.Now()
							if _, err := c.GetTicket(t.Context(), &ticketv1.GetTicketRequest{TicketId: "small"}); err != nil {
								t.Errorf("another caller, after %d good answers: %v", good, err)
							}
							good++
							slowest = max(slowest, time.Since(begin))
						}
					}
					took := time.Since(begin)
					peak := s.peak()
					t.Logf("%d MiB, %d good answers in %v, the slowest took %v", peak, good, took, slowest)
					if peak > maxPeak*raceMemory {
						t.Errorf("the service took %d MiB, want at most %d", peak, maxPeak)
					}
				})
			}
		})
	}
}
