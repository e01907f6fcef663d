//go:build linux

package rpc_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/internal/elements"
	"github.com/ticketbridge/ticketbridge/internal/goruntime"
	"github.com/ticketbridge/ticketbridge/internal/testkit/process"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/sqlite"
)

// servedFile is the environment variable with the database that a separate process serves.
const servedFile = "TEST_SERVED_FILE"

// TestRequestMemory_manyRequests sends many requests at once that are small on the wire and large in memory. The service runs in a
// separate process, so that its memory can be measured.
func TestRequestMemory_manyRequests(t *testing.T) {
	if path := os.Getenv(servedFile); path != "" {
		serveUntilEOF(t, path)
		return
	}
	t.Parallel()
	// An empty element has three bytes.
	binary := func(settings int) []byte {
		ticket := &ticketv1.Ticket{TicketId: "t", CustomSettings: make([]*ticketv1.CustomSetting, settings)}
		for i := range ticket.GetCustomSettings() {
			ticket.CustomSettings[i] = &ticketv1.CustomSetting{}
		}
		data, err := proto.Marshal(&ticketv1.TicketCreatedRequest{Ticket: ticket, FieldMask: &fieldmaskpb.FieldMask{
			Paths: []string{"custom_settings"}}, Event: &ticketv1.EventMetadata{EventId: "e", OccurTime: at(0)}})
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	const many = 1_400_000
	text := []byte(`{"event":{"eventId":"e","occurTime":"2026-01-01T00:00:00Z"},"ticket":{"ticketId":"t","customSettings":[{}` +
		strings.Repeat(",{}", many-1) + `]},"fieldMask":"customSettings"}`)
	largest := withElements("tags", 5000)
	largest.Ticket.Title = strings.Repeat("x", 10<<20)
	largest.FieldMask.Paths = append(largest.FieldMask.Paths, "title")
	largestInJSON, err := protojson.Marshal(largest)
	if err != nil {
		t.Fatal(err)
	}
	allowed, err := proto.Marshal(withElements("custom_settings", 9999))
	if err != nil {
		t.Fatal(err)
	}
	largestBatch, err := proto.Marshal(largestBatch(elements.MaxBatchBytes))
	if err != nil {
		t.Fatal(err)
	}
	const single, batch = ticketv1connect.TicketEventServiceTicketCreatedProcedure,
		ticketv1connect.TicketEventServiceRecordTicketEventsProcedure
	for _, test := range []struct {
		name, procedure, contentType, encoding string
		body                                   []byte
		atOnce                                 int
		// most is the maximum memory of the process in MiB. 100 MiB of it are needed without any request.
		most int64
	}{
		{"compressed", single, "application/proto", "gzip", zipped(t, binary(many)), 1, 200},
		{"six compressed", single, "application/proto", "gzip", zipped(t, binary(many)), 6, 200},
		{"six in JSON", single, "application/json", "", text, 6, 200},
		{"300 of 61 kB", single, "application/proto", "", binary(61_000 / 3), 300, 200},
		{"300 with as many elements as are allowed", single, "application/proto", "", allowed, 300, 350},
		{"24 as large as is allowed", single, "application/json", "", largestInJSON, 24, 400},
		// An empty event has two bytes.
		{"six compressed batches of empty events", batch, "application/proto", "gzip",
			zipped(t, bytes.Repeat([]byte{0x0a, 0}, elements.MaxBatchBytes/2)), 6, 200},
		{"24 batches as large as is allowed", batch, "application/proto", "", largestBatch, 24, 400},
		{"24 compressed batches as large as is allowed", batch, "application/proto", "gzip", zipped(t, largestBatch), 24, 400},
	} {
		t.Run(test.name, func(t *testing.T) {
			url, measure := mustStartProcess(t)
			before := measure()
			transport := &http.Transport{MaxIdleConnsPerHost: test.atOnce}
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport}
			codes, mu := map[int]int{}, sync.Mutex{}
			var callers sync.WaitGroup
			for range test.atOnce {
				callers.Go(func() {
					request, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
						url+test.procedure, bytes.NewReader(test.body))
					if err != nil {
						t.Error(err)
						return
					}
					request.Header.Set("Content-Type", test.contentType)
					if test.encoding != "" {
						request.Header.Set("Content-Encoding", test.encoding)
					}
					response, err := client.Do(request)
					if err != nil {
						t.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, response.Body)
					_ = response.Body.Close()
					mu.Lock()
					defer mu.Unlock()
					codes[response.StatusCode]++
				})
			}
			callers.Wait()
			peak := measure()
			t.Logf("%d × %d kB: %d MiB before, %d MiB at the peak, answers %v", test.atOnce, len(test.body)/1000, before>>20, peak>>20, codes)
			if peak>>20 > test.most*int64(raceMemory) {
				t.Errorf("%d MiB at the peak, want at most %d", peak>>20, test.most)
			}
		})
	}
}

// mustStartProcess starts a process that serves an empty database until the end of the test. measure returns the maximum memory that the
// process has had.
func mustStartProcess(t *testing.T) (url string, measure func() int64) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(self, "-test.run=^TestRequestMemory_manyRequests$")
	command.Env = append(os.Environ(), servedFile+"="+filepath.Join(t.TempDir(), "tickets.db"))
	command.Stderr = os.Stderr
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
	t.Cleanup(func() {
		_ = stdin.Close()
		_, _ = io.Copy(io.Discard, stdout)
		if err := command.Wait(); err != nil {
			t.Error(err)
		}
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line), func() int64 {
		usage, err := process.ReadUsage(command.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		return usage.PeakResidentBytes
	}
}

// serveUntilEOF serves a database, prints its address, and stops when its input ends.
func serveUntilEOF(t *testing.T, path string) {
	goruntime.Tune(os.LookupEnv)
	store, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	log := slog.New(slog.DiscardHandler)
	service := rpc.New(store, func(context.Context) error { return nil }, log)
	defer func() { _ = service.Close(context.Background()) }()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := service.NewServer(rpc.Security{}, log)
	served := make(chan error)
	go func() { served <- server.Serve(listener) }()
	fmt.Printf("http://%s\n", listener.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = server.Close()
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}
