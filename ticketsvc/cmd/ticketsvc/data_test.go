package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/internal/settings"
)

// record records an event that creates the ticket with the same id.
func record(t *testing.T, r running, id string) error {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	_, err := ticketv1connect.NewTicketEventServiceClient(&http.Client{Transport: transport}, r.rpc).TicketCreated(t.Context(),
		&ticketv1.TicketCreatedRequest{
			Event:     &ticketv1.EventMetadata{EventId: id, OccurTime: &timestamppb.Timestamp{Seconds: 1}},
			Ticket:    &ticketv1.Ticket{TicketId: id, Title: "title"},
			FieldMask: &fieldmaskpb.FieldMask{Paths: []string{"title"}},
		})
	return err
}

func TestServe_databaseRemoved(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tickets.db")
	r := mustRun(t, "--database-url=sqlite:"+path)
	if err := record(t, r, "1"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	if err := record(t, r, "2"); connect.CodeOf(err) != connect.CodeUnavailable {
		t.Errorf("an event without a database: %v, want UNAVAILABLE", err)
	}
	if status, body := get(t, r.admin+"/readyz"); status != http.StatusServiceUnavailable || strings.Contains(body, "\n") ||
		!strings.Contains(body, path+" was removed") {
		t.Errorf("/readyz without a database: %d %q, want 503 and one line that says why", status, body)
	}
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	if status, body := get(t, r.admin+"/readyz"); status != http.StatusOK {
		t.Errorf("/readyz with the database back: %d %q", status, body)
	}
	if err := record(t, r, "2"); err != nil {
		t.Errorf("an event with the database back: %v", err)
	}
	if code := r.stop(); code != settings.ExitOK {
		t.Errorf("status %d", code)
	}
	if !strings.Contains(r.log.String(), `level=INFO msg="database is new and empty" program=ticketsvc file=`+path+"\n") {
		t.Errorf("it said %q, want that the database is new", r.log)
	}
}

func TestBackup_restored(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path, copied, backup := filepath.Join(folder, "tickets.db"), filepath.Join(folder, "copied.db"), filepath.Join(folder, "backup.db")
	r := mustRun(t, "--database-url=sqlite:"+path)
	if err := record(t, r, "1"); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"backup", backup}, environment(map[string]string{"TICKETSVC_DATABASE_URL": "sqlite:" + path}),
		&stdout, &stderr); code != settings.ExitOK || stderr.Len() > 0 || !strings.HasPrefix(stdout.String(), path+" is backed up to "+backup) {
		t.Errorf("backup: status %d, output %q, errors %q", code, stdout.String(), stderr.String())
	}
	content, err := os.ReadFile(path)
	if err := errors.Join(err, os.WriteFile(copied, content, 0o600)); err != nil {
		t.Fatal(err)
	}
	stderr.Reset()
	code := run(t.Context(), []string{"--database-url=sqlite:" + copied}, environment(nil), io.Discard, &stderr)
	if code != settings.ExitSettings || !strings.Contains(stderr.String(), "the command backup") {
		t.Errorf("a copy of the file in use: status %d, errors %q; want %d and what to do", code, stderr.String(), settings.ExitSettings)
	}
	restored := mustRun(t, "--database-url=sqlite:"+backup)
	client := ticketv1connect.NewTicketServiceClient(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, restored.rpc)
	got, err := client.GetTicket(t.Context(), &ticketv1.GetTicketRequest{TicketId: "1"})
	if err != nil || got.GetTicket().GetTitle() != "title" {
		t.Errorf("the ticket of the backup: %v, %v", got, err)
	}
}

// TestRestore_overALeftOverWAL restores a backup over the files that a crash left.
func TestRestore_overALeftOverWAL(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path, crashed, backup := filepath.Join(folder, "tickets.db"), filepath.Join(folder, "crashed.db"), filepath.Join(folder, "backup.db")
	r := mustRun(t, "--database-url=sqlite:"+path)
	if err := record(t, r, "1"); err != nil {
		t.Fatal(err)
	}
	call := func(path string, args ...string) (code int, output string) {
		var stdout, stderr bytes.Buffer
		code = run(t.Context(), args, environment(map[string]string{"TICKETSVC_DATABASE_URL": "sqlite:" + path}), &stdout, &stderr)
		return code, stdout.String() + stderr.String()
	}
	if code, output := call(path, "backup", backup); code != settings.ExitOK {
		t.Fatal(output)
	}
	for i := range 100 {
		if err := record(t, r, fmt.Sprint("later", i)); err != nil {
			t.Fatal(err)
		}
	}
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(path + suffix)
		if err := errors.Join(err, os.WriteFile(crashed+suffix, content, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if code, output := call(path, "restore", backup); code != settings.ExitFailure || !strings.Contains(output, "in use") {
		t.Errorf("a restore under a running ticketsvc: status %d, %q", code, output)
	}
	if code, output := call(crashed, "restore", backup); code != settings.ExitOK ||
		!strings.Contains(output, crashed+" is restored from "+backup) || !strings.Contains(output, "OUT_OF_RANGE") {
		t.Errorf("restore: status %d, %q", code, output)
	}
	restored := mustRun(t, "--database-url=sqlite:"+crashed)
	client := ticketv1connect.NewTicketServiceClient(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, restored.rpc)
	got, err := client.ListTickets(t.Context(), &ticketv1.ListTicketsRequest{})
	if err != nil || len(got.GetTickets()) != 1 || got.GetTickets()[0].GetTicketId() != "1" {
		t.Errorf("the tickets of the backup: %v, %v", got, err)
	}
	if err := record(t, restored, "2"); err != nil {
		t.Errorf("an event after the restore: %v", err)
	}
}
