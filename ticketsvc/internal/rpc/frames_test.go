package rpc_test

import (
	"encoding/binary"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
)

// frameOf returns a message in a frame with these flags.
func frameOf(flags byte, message string) string {
	return string(binary.BigEndian.AppendUint32([]byte{flags}, uint32(len(message)))) + message
}

// TestValidateFrames_malformed has frames that no client sends. They must not get a code of class 500, and no response may repeat
// them.
func TestValidateFrames_malformed(t *testing.T) {
	t.Parallel()
	s := mustServe(t, mustOpenStore(t))
	message, err := proto.Marshal(&ticketv1.ListTicketsRequest{Filter: &ticketv1.TicketFilter{Text: personal}})
	if err != nil {
		t.Fatal(err)
	}
	whole := frameOf(0, string(message))
	bodies := map[string]string{
		"trailers":                  frameOf(0x80, personal),
		"trailers after":            whole + frameOf(0x80, personal),
		"unknown flags":             frameOf(4, string(message)),
		"an end of the stream":      frameOf(2, personal),
		"a prefix that is cut":      whole[:3],
		"a message that is cut":     whole[:len(whole)-1],
		"another prefix, cut":       whole + "\x00",
		"a length that is too low":  whole[:4] + string(whole[4]-1) + whole[5:],
		"a length that is too high": whole[:4] + string(whole[4]+1) + whole[5:],
	}
	invalid := strconv.Itoa(int(connect.CodeInvalidArgument))
	for _, contentType := range []string{
		"application/grpc", "application/grpc+proto", "application/grpc-web+proto", "application/connect+proto",
	} {
		// Connect's own protocol has no frames in unary calls.
		path := ticketv1connect.TicketServiceListTicketsProcedure
		if strings.HasPrefix(contentType, "application/connect") {
			path = ticketv1connect.TicketServiceWatchTicketsProcedure
		}
		for name, body := range bodies {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Content-Type", contentType)
			response, err := newClient(t, s, "gRPC").http.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			status := response.Header.Get("Grpc-Status") + response.Trailer.Get("Grpc-Status")
			said := response.Header.Get("Grpc-Message") + response.Trailer.Get("Grpc-Message") + string(answer)
			if status != invalid && !strings.Contains(said, "grpc-status: "+invalid) && !strings.Contains(said, `"code":"invalid_argument"`) {
				t.Errorf("%s, %s: status %q, %q; want INVALID_ARGUMENT", contentType, name, status, said)
			}
			if strings.Contains(said, personal) {
				t.Errorf("%s, %s: the answer repeats the request: %q", contentType, name, said)
			}
		}
	}
	if log := s.log.take(); strings.Contains(log, personal) || strings.Contains(log, "level=ERROR") {
		t.Errorf("log %q", log)
	}
}
