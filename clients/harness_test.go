package clients_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/internal/testkit/binaries"
	"github.com/ticketbridge/ticketbridge/internal/testkit/external"
	"github.com/ticketbridge/ticketbridge/internal/testkit/process"
)

// programs has a function for each client, by its language. The function builds the client and returns its command line.
var programs = map[string]func(t *testing.T) []string{
	"Go": func(t *testing.T) []string { return []string{commands.Path(t, "go")} },
	"TypeScript": func(t *testing.T) []string {
		node, folder := external.Node(t)
		return []string{node, filepath.Join(folder, "dist", "src", "main.js")}
	},
	"Python": func(t *testing.T) []string {
		python, folder := external.Python(t)
		return []string{python, filepath.Join(folder, "follow_tickets.py")}
	},
}

// eachClient runs a test with each client, in parallel.
func eachClient(t *testing.T, test func(t *testing.T, program []string)) {
	t.Helper()
	t.Parallel()
	for language, program := range programs {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			test(t, program(t))
		})
	}
}

// The tokens of these tests.
const adminToken, readerToken = "hush-of-the-operators", "hush-of-a-reader"

// bound is the maximum time of each step on a busy machine. The clients' own delays are a few seconds here.
const bound = time.Minute

var commands = binaries.New("ticketsvc/cmd/ticketsvc", "clients/go")

func TestMain(m *testing.M) { os.Exit(commands.Main(m).Run()) }

// harness has a ticketsvc, and a client that keeps a copy of its tickets.
type harness struct {
	folder, url string
	ticketsvc   *process.Process
	events      ticketv1connect.TicketEventServiceClient
	tickets     ticketv1connect.TicketServiceClient
	recorded    int

	program  []string
	follower *process.Process
}

func newHarness(t *testing.T, program []string) *harness {
	t.Helper()
	address, admin := mustFreeAddress(t), mustFreeAddress(t)
	h := &harness{folder: t.TempDir(), url: "http://" + address, program: program}
	mustWrite(t, h.path("tokens"), "admin="+adminToken+"\nread="+readerToken+"\n")
	mustWrite(t, h.path("token"), "not-the-right-one\n")
	h.ticketsvc = mustStart(t, process.Command{Path: commands.Path(t, "ticketsvc"), LogPath: h.path("ticketsvc.log"),
		ReadyURL: "http://" + admin + "/readyz", Env: []string{"TICKETSVC_LISTEN=" + address, "TICKETSVC_ADMIN_LISTEN=" + admin,
			"TICKETSVC_DATABASE_URL=sqlite:" + h.path("ticketsvc.db"), "TICKETSVC_TOKENS_FILE=" + h.path("tokens")}})
	t.Cleanup(func() { h.ticketsvc.Kill() })

	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client, token := &http.Client{Transport: transport}, connect.WithInterceptors(withToken(adminToken))
	h.events = ticketv1connect.NewTicketEventServiceClient(client, h.url, token)
	h.tickets = ticketv1connect.NewTicketServiceClient(client, h.url, token)
	return h
}

func (h *harness) path(name string) string { return filepath.Join(h.folder, name) }

// withToken makes a client send a token.
func withToken(token string) connect.UnaryInterceptorFunc {
	return func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
			request.Header().Set("Authorization", "Bearer "+token)
			return next(ctx, request)
		}
	}
}

func mustFreeAddress(t *testing.T) string {
	t.Helper()
	address, err := process.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

func mustWrite(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func mustStart(t *testing.T, command process.Command) *process.Process {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	p, err := process.Start(ctx, command)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// startFollower starts the client that keeps the copy.
func (h *harness) startFollower(t *testing.T, options ...string) {
	t.Helper()
	h.follower = mustStart(t, process.Command{Path: h.program[0], LogPath: h.path("follower.log"), Args: slices.Concat(h.program[1:],
		[]string{"--url", h.url, "--token-file", h.path("token"), "--copy", h.path("copy")}, options)})
	t.Cleanup(h.follower.Kill)
}

// stop ends a process with SIGTERM. The process must end in time and with status 0.
func stop(t *testing.T, p *process.Process) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	if err := p.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// restartTicketsvc starts ticketsvc again after it has ended.
func (h *harness) restartTicketsvc(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	p, err := h.ticketsvc.Restart(ctx)
	if err != nil {
		t.Fatal(err)
	}
	h.ticketsvc = p
}

// ask runs the client with args, and returns its output. The error is that of the process.
func (h *harness) ask(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	command := exec.CommandContext(ctx, h.program[0], append(append(slices.Clone(h.program[1:]), "--copy", h.path("copy")), args...)...)
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	err = command.Run()
	return out.String(), errs.String(), err
}

func at(seconds int) *timestamppb.Timestamp {
	return &timestamppb.Timestamp{Seconds: 1_780_000_000 + int64(seconds), Nanos: 123_000_000}
}

// create records that tickets were opened.
func (h *harness) create(t *testing.T, ids ...string) {
	t.Helper()
	for _, id := range ids {
		h.recorded++
		_, err := h.events.TicketCreated(t.Context(), &ticketv1.TicketCreatedRequest{
			Event: &ticketv1.EventMetadata{EventId: fmt.Sprintf("event-%d", h.recorded), OccurTime: at(h.recorded), ReceiveTime: at(h.recorded)},
			Ticket: &ticketv1.Ticket{TicketId: id, AppId: "app", Title: "Tür klemmt in " + id, Description: "\u0000 <&> \U0001F6AA",
				StatusText: "waiting-for-agent", LabelIds: []string{"a", "b"}, CommentCount: 3, CreateTime: at(h.recorded),
				Attributes:     map[string]string{"large": "9007199254740993"},
				CustomSettings: []*ticketv1.CustomSetting{{Key: "room", SettingValue: &ticketv1.CustomSetting_ValueJson{ValueJson: "1.50"}}}},
			FieldMask: &fieldmaskpb.FieldMask{Paths: []string{"app_id", "title", "description", "status_text", "label_ids", "comment_count",
				"create_time", "attributes", "custom_settings"}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// update records that tickets were closed. A ticket may be unknown before.
func (h *harness) update(t *testing.T, ids ...string) {
	t.Helper()
	for _, id := range ids {
		h.recorded++
		_, err := h.events.TicketUpdated(t.Context(), &ticketv1.TicketUpdatedRequest{
			Event: &ticketv1.EventMetadata{EventId: fmt.Sprintf("event-%d", h.recorded), OccurTime: at(h.recorded),
				ReceiveTime: at(h.recorded)},
			Ticket:    &ticketv1.Ticket{TicketId: id, StatusText: "closed", AssigneeId: fmt.Sprintf("user-%d", h.recorded)},
			FieldMask: &fieldmaskpb.FieldMask{Paths: []string{"status_text", "assignee_id", "label_ids"}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (h *harness) erase(t *testing.T, id string) {
	t.Helper()
	if _, err := h.tickets.EraseTicket(t.Context(), &ticketv1.EraseTicketRequest{TicketId: id}); err != nil {
		t.Fatal(err)
	}
}

// listed returns all tickets from ListTickets.
func (h *harness) listed(t *testing.T) map[string]*ticketv1.Ticket {
	t.Helper()
	tickets := map[string]*ticketv1.Ticket{}
	request := &ticketv1.ListTicketsRequest{PageSize: 1000}
	for {
		page, err := h.tickets.ListTickets(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		for _, ticket := range page.GetTickets() {
			tickets[ticket.GetTicketId()] = ticket
		}
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			return tickets
		}
	}
}

// copied returns all tickets of the copy.
func (h *harness) copied(t *testing.T) (map[string]*ticketv1.Ticket, error) {
	t.Helper()
	printed, errs, err := h.ask(t, "--list")
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, errs)
	}
	tickets := map[string]*ticketv1.Ticket{}
	lines := bufio.NewScanner(strings.NewReader(printed))
	for lines.Scan() {
		ticket := &ticketv1.Ticket{}
		if err := protojson.Unmarshal(lines.Bytes(), ticket); err != nil {
			t.Fatalf("%v in %q", err, lines.Bytes())
		}
		if tickets[ticket.GetTicketId()] != nil {
			t.Errorf("the copy has the ticket %s twice", ticket.GetTicketId())
		}
		tickets[ticket.GetTicketId()] = ticket
	}
	return tickets, nil
}

// expectInSync waits until the copy has the same tickets as ListTickets.
func (h *harness) expectInSync(t *testing.T) {
	t.Helper()
	want := h.listed(t)
	eventually(t, func() error {
		got, err := h.copied(t)
		if err != nil {
			return err
		}
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			return fmt.Errorf("the tickets (-) against the copy (+):\n%.3000s", diff)
		}
		return nil
	})
}

func (h *harness) log(t *testing.T) string {
	t.Helper()
	log, err := os.ReadFile(h.path("follower.log"))
	if err != nil {
		t.Fatal(err)
	}
	return string(log)
}

// eventually calls condition until it returns nil. It polls, because another process gives no signal.
func eventually(t *testing.T, condition func() error) {
	t.Helper()
	poll, end := time.NewTicker(50*time.Millisecond), time.After(bound)
	defer poll.Stop()
	for {
		err := condition()
		if err == nil {
			return
		}
		select {
		case <-poll.C:
		case <-end:
			t.Fatalf("not within %v: %v", bound, err)
		}
	}
}

func ids(prefix string, count int) []string {
	all := make([]string, count)
	for i := range all {
		all[i] = fmt.Sprintf("%s%03d", prefix, i)
	}
	return all
}

// filesHave reports whether a file of the copy has a text, in plain or in Base64.
func (h *harness) filesHave(t *testing.T, text string) bool {
	t.Helper()
	forms := [][]byte{[]byte(text)}
	for shift := range 3 {
		// The first and the last four digits also depend on the bytes before and after the text.
		encoded := base64.StdEncoding.EncodeToString(append(make([]byte, shift), text...))
		forms = append(forms, []byte(encoded[4:len(encoded)-4]))
	}
	files, err := filepath.Glob(h.path("copy*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files of the copy, %v", len(files), err)
	}
	return slices.ContainsFunc(files, func(file string) bool {
		content, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // a file that was removed meanwhile
			t.Fatal(err)
		}
		return slices.ContainsFunc(forms, func(form []byte) bool { return bytes.Contains(content, form) })
	})
}
