package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/watch"
)

// failingStream sends one message, and then fails.
type failingStream struct {
	ticketv1connect.UnimplementedTicketServiceHandler
	err error
}

func (s failingStream) WatchTickets(_ context.Context, _ *ticketv1.WatchTicketsRequest,
	stream *connect.ServerStream[ticketv1.WatchTicketsResponse],
) error {
	return errors.Join(stream.Send(&ticketv1.WatchTicketsResponse{ResumeToken: "token"}), s.err)
}

func TestErrorMapper_codesOfStreams(t *testing.T) {
	t.Parallel()
	for _, test := range wireCodes {
		for protocol := range protocols {
			t.Run(fmt.Sprintf("%v by %s", test.err, protocol), func(t *testing.T) {
				t.Parallel()
				log := &logBuffer{}
				interceptor := rpc.ErrorMapper(slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
				mux := http.NewServeMux()
				mux.Handle(ticketv1connect.NewTicketServiceHandler(
					failingStream{err: fmt.Errorf("of a driver that quotes %s: %w", personal, test.err)}, connect.WithInterceptors(interceptor)))
				listening := httptest.NewUnstartedServer(mux)
				listening.Config.Protocols = &http.Protocols{}
				listening.Config.Protocols.SetHTTP1(true)
				listening.Config.Protocols.SetUnencryptedHTTP2(true)
				listening.Start()
				t.Cleanup(listening.Close)
				stream, err := newClient(t, &server{url: listening.URL}, protocol).WatchTickets(t.Context(), &ticketv1.WatchTicketsRequest{})
				if err != nil {
					t.Fatal(err)
				}
				if !stream.Receive() || stream.Msg().GetResumeToken() != "token" {
					t.Errorf("the message before the error is %v", stream.Msg())
				}
				if stream.Receive() {
					t.Error("a message after the error")
				}
				if err := stream.Err(); connect.CodeOf(err) != test.want || strings.Contains(err.Error(), personal) {
					t.Errorf("error %v, want %v and nothing of the inner text", err, test.want)
				}
				if err := stream.Close(); err != nil {
					t.Error(err)
				}
				if test.want != connect.CodeInvalidArgument && !strings.Contains(log.String(), "WatchTickets") {
					t.Errorf("log %q, want the procedure", log)
				}
			})
		}
	}
}

// endedStream is a stream that is asked only for its type.
type endedStream struct{ connect.StreamingHandlerConn }

func (endedStream) Spec() connect.Spec {
	return connect.Spec{StreamType: connect.StreamTypeServer, Procedure: "WatchTickets"}
}

// TestErrorMapper_logsEndsOfStreamsRarely ends as many streams as a service has.
func TestErrorMapper_logsEndsOfStreamsRarely(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]int{
		ticket.ErrUnavailable: 2, watch.ErrStopping: 0, watch.ErrLogReplaced: 0, context.DeadlineExceeded: 0,
	} {
		synctest.Test(t, func(t *testing.T) {
			log := &logBuffer{}
			end := rpc.ErrorMapper(slog.New(slog.NewTextHandler(log, nil))).WrapStreamingHandler(
				func(context.Context, connect.StreamingHandlerConn) error { return err })
			for range 4096 {
				_ = end(t.Context(), endedStream{})
			}
			time.Sleep(time.Minute)
			_ = end(t.Context(), endedStream{})
			if got := log.String(); strings.Count(got, "level=WARN") != want || strings.Count(got, "\n") != want ||
				want > 0 && !strings.Contains(got, "count=4096") {
				t.Errorf("%v: the log has %.2000s, want %d warnings", err, got, want)
			}
		})
	}
}
