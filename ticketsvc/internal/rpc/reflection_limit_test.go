package rpc_test

import (
	"context"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpcreflect"

	"github.com/ticketbridge/ticketbridge/internal/credentials"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc"
)

// reflect begins a reflection stream, and returns a function that lists the services over it.
func reflect(t *testing.T, s *server, token string) func() error {
	t.Helper()
	c := newClient(t, s, "gRPC")
	stream := grpcreflect.NewClient(c.http, s.url, connect.WithGRPC()).NewStream(t.Context(),
		grpcreflect.WithRequestHeaders(http.Header{"Authorization": {"Bearer " + token}}))
	t.Cleanup(func() { _, _ = stream.Close() })
	return func() error {
		_, err := stream.ListServices()
		return err
	}
}

func TestReflectionLimit_endsWithTheToken(t *testing.T) {
	t.Parallel()
	current := mustCredentials(t)
	s := mustServeSecurely(t, mustOpenStore(t), rpc.Security{Tokens: current})
	list, other := reflect(t, s, tokens["read"]), reflect(t, s, tokens["admin"])
	for _, ask := range []func() error{list, other} {
		if err := ask(); err != nil {
			t.Fatal(err)
		}
	}
	left, err := credentials.Parse([]string{"admin=" + tokens["admin"]})
	if err != nil {
		t.Fatal(err)
	}
	current.Set(left)
	if err := list(); connect.CodeOf(err) != connect.CodeUnauthenticated {
		t.Errorf("with a token that was removed: %v, want UNAUTHENTICATED", err)
	}
	if err := other(); err != nil {
		t.Errorf("with one that still counts: %v", err)
	}
}

func TestReflectionLimit_oneCaller(t *testing.T) {
	t.Parallel()
	s := mustServeSecurely(t, mustOpenStore(t), rpc.Security{Tokens: mustCredentials(t)})
	for range rpc.MaxReflections / 2 {
		if err := reflect(t, s, tokens["read"])(); err != nil {
			t.Fatal(err)
		}
	}
	if err := reflect(t, s, tokens["read"])(); connect.CodeOf(err) != connect.CodeResourceExhausted {
		t.Errorf("one more: %v, want RESOURCE_EXHAUSTED", err)
	}
	if err := reflect(t, s, tokens["admin"])(); err != nil {
		t.Errorf("another caller: %v", err)
	}
}

// TestReflectionLimit_endsWithoutRequests has a caller that opens a stream and sends no requests on it.
func TestReflectionLimit_endsWithoutRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := servePipe(t, stubStore{call: func(context.Context) error { return nil }})
		begin := time.Now()
		if _, err := io.WriteString(conn, "POST /grpc.reflection.v1.ServerReflection/ServerReflectionInfo HTTP/1.1\r\nHost: localhost\r\n"+
			"Content-Type: application/grpc-web\r\nTransfer-Encoding: chunked\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(conn); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took > rpc.MaxBodyTime+time.Second {
			t.Errorf("it ended after %v, want %v", took, rpc.MaxBodyTime)
		}
	})
}
