package rpc_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/grpchealth"

	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// pipes is a listener whose connections are in memory, so that tests can use synthetic time.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error { close(p.done); return nil }

func (*pipes) Addr() net.Addr { return &net.TCPAddr{} }

// servePipe serves a store on one connection in memory, until the end of the test, and returns the caller's end of the connection.
func servePipe(t *testing.T, store ticket.Store) net.Conn {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	service := rpc.New(store, func(context.Context) error { return nil }, log)
	server := service.NewServer(rpc.Security{}, log)
	ours, theirs := net.Pipe()
	listener := &pipes{conns: make(chan net.Conn, 1), done: make(chan struct{})}
	listener.conns <- theirs
	served := make(chan error)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = ours.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
		if err := service.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return ours
}

// frame is the type of an HTTP/2 frame, with its flags.
type frame struct{ kind, flags byte }

const (
	settingsFrame, pingFrame, goAwayFrame = 4, 6, 7
	acknowledges                          = 1
)

// readFrame returns the next frame and its payload.
func readFrame(r io.Reader) (frame, []byte, error) {
	var header [9]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return frame{}, nil, err
	}
	payload := make([]byte, binary.BigEndian.Uint32(append([]byte{0}, header[:3]...)))
	_, err := io.ReadFull(r, payload)
	return frame{header[3], header[4]}, payload, err
}

// TestServer_pingsSilentConnections has a caller that opens a connection and then sends nothing, like a machine that was switched off. The
// service sends a ping, and closes the connection if there is no reply. The connection of a caller that replies stays open.
func TestServer_pingsSilentConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := servePipe(t, stubStore{})
		write := func(bytes string) {
			if _, err := io.WriteString(conn, bytes); err != nil {
				t.Error(err)
			}
		}
		const noSettings, acknowledged = "\x00\x00\x00\x04\x00\x00\x00\x00\x00", "\x00\x00\x00\x04\x01\x00\x00\x00\x00"
		go write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + noSettings)
		begin, pings := time.Now(), 0
		for {
			frame, payload, err := readFrame(conn)
			if err != nil {
				if pings != 2 || time.Since(begin) != 3*rpc.PingAfter {
					t.Errorf("the connection ended after %v and %d pings (%v), want it to outlive the one that was answered", time.Since(begin),
						pings, err)
				}
				return
			}
			switch {
			case frame.kind == settingsFrame && frame.flags != acknowledges:
				go write(acknowledged)
			case frame.kind == pingFrame:
				if pings++; pings == 1 {
					go write("\x00\x00\x08\x06\x01\x00\x00\x00\x00" + string(payload))
				}
			case frame.kind == goAwayFrame:
				return
			}
		}
	})
}

// TestWithDeadlines_slowRequests has callers that send their requests too slowly, or stop half-way.
func TestWithDeadlines_slowRequests(t *testing.T) {
	const health = "/" + grpchealth.HealthV1ServiceName + "/Check"
	half := func(conn net.Conn) error {
		_, err := io.WriteString(conn, `{"ticketId":`)
		return err
	}
	slowly := func(conn net.Conn) error {
		for {
			if _, err := io.WriteString(conn, " "); err != nil {
				return err
			}
			time.Sleep(time.Second)
		}
	}
	for name, test := range map[string]struct {
		procedure string
		limit     time.Duration
		send      func(net.Conn) error
	}{
		"half of it":             {ticketv1connect.TicketServiceGetTicketProcedure, rpc.MaxBodyTime, half},
		"a byte a second":        {ticketv1connect.TicketServiceGetTicketProcedure, rpc.MaxBodyTime, slowly},
		"half of a health check": {health, rpc.MaxHealthTime, half},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn := servePipe(t, stubStore{call: func(context.Context) error { return nil }})
				begin := time.Now()
				head := "POST " + test.procedure +
					" HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
				if _, err := io.WriteString(conn, head); err != nil {
					t.Fatal(err)
				}
				sent := make(chan struct{})
				go func() {
					defer close(sent)
					// Sending fails after the connection is closed. That error does not matter here.
					_ = test.send(conn)
				}()
				answer, err := io.ReadAll(conn)
				if err != nil {
					t.Fatal(err)
				}
				want := fmt.Sprintf(`{"code":"deadline_exceeded","message":"the request took longer than %v to come"}`, test.limit)
				if took := time.Since(begin); took < test.limit || took > test.limit+time.Second || !strings.Contains(string(answer), want) {
					t.Errorf("after %v: %q, want %s after %v", took, answer, want, test.limit)
				}
				_ = conn.Close()
				<-sent
			})
		})
	}
}

// TestWithDeadlines_endWithTheRequest checks that the deadline for the request is removed at the end of the request.
func TestWithDeadlines_endWithTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const callTime = rpc.MaxCallTime - time.Second
		conn := servePipe(t, stubStore{call: func(ctx context.Context) error {
			select {
			case <-time.After(callTime):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}})
		// The caller takes most of the allowed time for the request, and the response takes long too.
		head := "POST " + ticketv1connect.TicketServiceListTicketsProcedure +
			" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{"
		if _, err := io.WriteString(conn, head); err != nil {
			t.Fatal(err)
		}
		time.Sleep(rpc.MaxBodyTime - time.Second)
		if _, err := io.WriteString(conn, "}"); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(conn)
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200 OK") {
			t.Errorf("%q, %v", answer, err)
		}
	})
}

// largeTicket is a store whose tickets have a description of that many bytes.
type largeTicket struct {
	stubStore
	bytes int
}

func (s largeTicket) Get(_ context.Context, id string, budget ticket.MemoryBudget) (ticket.Ticket, error) {
	return ticket.Ticket{ID: id, Description: strings.Repeat("x", s.bytes)}, budget.Reserve(id, ticket.Weight{Bytes: s.bytes})
}

// TestDeadlineWriter has callers that do not read their responses, or read them slowly.
func TestDeadlineWriter(t *testing.T) {
	const ticketBytes, stall = 200_000, rpc.MaxStallTime * 5 / 4
	readAfter := func(wait time.Duration) func(net.Conn) (string, error) {
		return func(conn net.Conn) (string, error) {
			time.Sleep(wait)
			answer, err := io.ReadAll(conn)
			return string(answer), err
		}
	}
	readPieces := func(pieces time.Duration) func(net.Conn) (string, error) {
		return func(conn net.Conn) (string, error) {
			var answer []byte
			for piece := make([]byte, ticketBytes/pieces); ; time.Sleep(rpc.MaxWriteTime / 20) {
				n, err := io.ReadFull(conn, piece)
				answer = append(answer, piece[:n]...)
				if err == io.ErrUnexpectedEOF {
					return string(answer), nil
				} else if err != nil {
					return "", err
				}
			}
		}
	}
	for name, test := range map[string]struct {
		read func(net.Conn) (string, error)
		want bool
	}{
		"nothing, and then all just in time": {readAfter(stall - time.Second), true},
		"nothing for too long":               {readAfter(stall + time.Second), false},
		"slowly and steadily":                {readPieces(15), true},
		"more slowly than that":              {readPieces(30), false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn := servePipe(t, largeTicket{bytes: ticketBytes})
				head := "POST " + ticketv1connect.TicketServiceGetTicketProcedure +
					" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n" +
					`{"ticketId":"t"}`
				if _, err := io.WriteString(conn, head); err != nil {
					t.Fatal(err)
				}
				answer, err := test.read(conn)
				if read := err == nil && strings.HasPrefix(answer, "HTTP/1.1 200 OK") && len(answer) > ticketBytes; read != test.want {
					t.Errorf("the answer has %d bytes, %v; that it is whole is to be %v", len(answer), err, test.want)
				}
			})
		})
	}
}
