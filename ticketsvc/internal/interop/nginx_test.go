package interop_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"connectrpc.com/connect"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/internal/testkit/external"
	"github.com/ticketbridge/ticketbridge/internal/testkit/process"
)

// mustStartNginx starts an nginx that passes everything on to the service at url, and returns its own URL. Its settings are the defaults
// of its packages, apart from files and addresses: so it buffers what it passes on.
func mustStartNginx(t *testing.T, url string) string {
	t.Helper()
	binary := external.Nginx(t)
	address, err := process.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	folder, user := t.TempDir(), ""
	if os.Geteuid() == 0 {
		user = "user root;" // Others can't reach the test's folder.
	}
	config := filepath.Join(folder, "nginx.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, `%s
daemon off;
pid %[2]s/pid;
error_log stderr;
events {}
http {
  access_log off;
  client_body_temp_path %[2]s/body;
  proxy_temp_path %[2]s/proxy;
  fastcgi_temp_path %[2]s/fastcgi;
  scgi_temp_path %[2]s/scgi;
  uwsgi_temp_path %[2]s/uwsgi;
  server {
    listen %[3]s;
    location / { proxy_pass %[4]s; }
    location = /ready { return 200; }
  }
}
`, user, folder, address, url), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	nginx, err := process.Start(ctx, process.Command{Path: binary, Args: []string{"-p", folder, "-c", config, "-e", "stderr"},
		LogPath: filepath.Join(folder, "log"), ReadyURL: "http://" + address + "/ready"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := nginx.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return "http://" + address
}

// A stock nginx collects what it passes on until it has some kilobytes, which takes minutes for a quiet stream. Here nothing more is sent
// until the message is there.
func TestWatchTickets_throughNginx(t *testing.T) {
	t.Parallel()
	through := mustStartNginx(t, mustServe(t).url)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	events := ticketv1connect.NewTicketEventServiceClient(&http.Client{Transport: transport}, through)
	tickets := ticketv1connect.NewTicketServiceClient(&http.Client{Transport: transport}, through)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	withToken := func() context.Context {
		ctx, call := connect.NewClientContext(ctx)
		call.RequestHeader().Set("Authorization", "Bearer "+adminToken)
		return ctx
	}
	stream, err := tickets.WatchTickets(withToken(), &ticketv1.WatchTicketsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Close() }()
	for _, id := range []string{"t1", "t2"} {
		if _, err := events.TicketCreated(withToken(), created(id, "short")); err != nil {
			t.Fatal(err)
		}
		for stream.Msg().GetChange().GetTicket().GetTicketId() != id {
			if !stream.Receive() {
				t.Fatalf("the stream ended before %s came: %v", id, stream.Err())
			}
		}
	}
}
