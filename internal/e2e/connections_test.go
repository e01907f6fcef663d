package e2e_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/internal/testkit/process"
)

// restartWithOpenFiles starts a service again, as a process that may open no more than that many files.
func restartWithOpenFiles(t *testing.T, s *service, files int) {
	t.Helper()
	stop(t, s)
	command := s.command
	command.Path, command.Args = "/bin/sh", []string{"-c", fmt.Sprintf(`ulimit -n %d && exec "$0"`, files), s.command.Path}
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	p, err := process.Start(ctx, command)
	if err != nil {
		t.Fatal(err)
	}
	s.Process = p
}

// Strangers open more connections to each service's address than the process may open files, make a request each, and idle. Probes,
// deliveries and reads go on, on new connections.
func TestStrangersWhoIdleTakeNoRoom(t *testing.T) {
	t.Parallel()
	const files, strangers, rounds = 256, 300, 20
	s := newSystem(t)
	for _, service := range s.services() {
		restartWithOpenFiles(t, service, files)
		for range strangers {
			stranger, err := net.Dial("tcp", service.address)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = stranger.Close() })
			if _, err := io.WriteString(stranger, "GET /nothing HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
		}
	}
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	if status, message := s.postFile(t, "created-full"); status != http.StatusOK {
		t.Fatalf("a delivery: %d %s", status, message)
	}
	s.waitForTicket(t, fullTicket(t).GetTicketId(), 1)
	failed := map[string]int{}
	for range rounds {
		for _, service := range s.services() {
			if status, err := service.ready(t.Context(), client); status != http.StatusOK {
				failed[fmt.Sprintf("%s: /readyz %d, %v", service.log, status, err)]++
			}
		}
		if status, message := s.postFile(t, "created-full"); status != http.StatusOK {
			failed[fmt.Sprintf("a delivery: %d %s", status, message)]++
		}
		_, err := s.tickets.GetTicket(t.Context(), &ticketv1.GetTicketRequest{TicketId: fullTicket(t).GetTicketId()})
		if err != nil {
			failed[fmt.Sprintf("GetTicket: %v", err)]++
		}
	}
	for failure, count := range failed {
		t.Errorf("%d of %d: %s", count, rounds, failure)
	}
	for _, service := range s.services() {
		if has, err := service.logHas("connections are at their limit"); !has || err != nil {
			t.Errorf("%s does not say that the limit is reached: %v", service.log, err)
		}
	}
}
