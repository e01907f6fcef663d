package e2e_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"flag"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresserver"
)

// keepDatabases writes the databases of today's version to that folder in testdata, for the tests of later versions. A change of what
// databases hold needs a new folder, made by the commit before it.
var keepDatabases = flag.String("keep-databases", "", "write the databases of this version to that folder in testdata")

// earlierVersions are the folders in testdata with the databases of earlier versions of ticketsvc, and what they answered.
var earlierVersions = []string{"2026-11"}

// renamedFields are the fields of Ticket that had another name in an earlier version, before the contract was frozen.
var renamedFields = map[string]string{"assigned_to": "assignee_id", "created_by": "creator_id", "labels": "label_ids", "files": "file_ids"}

// earlierDatabase keeps a database of ticketsvc in a file, and opens it.
type earlierDatabase struct {
	file string
	// create returns the URL of a new database, and keep reads its content once no service uses it.
	create func(t testing.TB) string
	keep   func(t *testing.T, url string) []byte
	// open returns the URL of a database with that content.
	open func(t *testing.T, content []byte) string
}

var earlierDatabases = map[string]earlierDatabase{
	"SQLite": {
		file:   "ticketsvc.db.gz",
		create: func(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "ticketsvc.db") },
		keep:   func(t *testing.T, url string) []byte { return mustReadFile(t, strings.TrimPrefix(url, "sqlite:")) },
		open: func(t *testing.T, content []byte) string {
			path := filepath.Join(t.TempDir(), "ticketsvc.db")
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			return "sqlite:" + path
		},
	},
	"PostgreSQL": {
		file:   "ticketsvc.sql.gz",
		create: postgresql.Database,
		keep: func(t *testing.T, url string) []byte {
			binaries, err := postgresserver.Find()
			if err != nil {
				t.Fatal(err)
			}
			content, err := exec.CommandContext(t.Context(), filepath.Join(binaries, "pg_dump"), "--format=plain", "--inserts", "--no-owner",
				"--schema=ticketsvc", url).Output()
			if err != nil {
				t.Fatal(err)
			}
			return content
		},
		open: func(t *testing.T, content []byte) string {
			url := postgresql.Database(t)
			// Lines with a backslash are commands of psql's, and the search path of the dump is for its own session.
			var script []string
			for line := range strings.Lines(string(content)) {
				if !strings.HasPrefix(line, `\`) {
					script = append(script, line)
				}
			}
			postgresql.Execute(t, url, strings.Join(script, ""))
			return url
		},
	},
}

// TestDatabasesOfEarlierVersions has databases that earlier versions of ticketsvc wrote. Whatever was recorded in them is answered as it
// was then, and later events are merged into it.
func TestDatabasesOfEarlierVersions(t *testing.T) {
	t.Parallel()
	for engine, database := range earlierDatabases {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			if *keepDatabases != "" {
				keepDatabase(t, filepath.Join("testdata", *keepDatabases), database)
			}
			for _, version := range earlierVersions {
				t.Run(version, func(t *testing.T) {
					t.Parallel()
					testEarlierDatabase(t, filepath.Join("testdata", version), database)
				})
			}
		})
	}
}

func keepDatabase(t *testing.T, folder string, database earlierDatabase) {
	t.Helper()
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	url := database.create(t)
	s := startSystem(t, t.TempDir(), 1, []string{"TICKETSVC_DATABASE_URL=" + url,
		"GATEWAY_DATABASE_URL=sqlite:" + t.TempDir() + "/gateway.db"})
	for _, record := range earlierEvents(t) {
		if err := record(t.Context(), newRecorder(s)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.tickets.EraseTicket(t.Context(), &ticketv1.EraseTicketRequest{TicketId: "erased"}); err != nil {
		t.Fatal(err)
	}
	mustWriteFile(t, filepath.Join(folder, database.file+".answers"), mustMarshalAnswers(t, s))
	mustWriteFile(t, filepath.Join(folder, database.file+".token"), []byte(s.resumeToken(t)))
	stop(t, s.ticketsvcs[0])
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err := w.Write(database.keep(t, url))
	must(err)
	must(w.Close())
	mustWriteFile(t, filepath.Join(folder, database.file), packed.Bytes())
}

func testEarlierDatabase(t *testing.T, folder string, database earlierDatabase) {
	unpacked, err := gzip.NewReader(bytes.NewReader(mustReadFile(t, filepath.Join(folder, database.file))))
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	s := startSystem(t, t.TempDir(), 1, []string{"TICKETSVC_DATABASE_URL=" + database.open(t, content),
		"GATEWAY_DATABASE_URL=sqlite:" + t.TempDir() + "/gateway.db"})

	tickets, events := unmarshalAnswers(t, mustReadFile(t, filepath.Join(folder, database.file+".answers")))
	for _, event := range events.GetEvents() {
		for i, path := range event.GetChangedFields().GetPaths() {
			if name, ok := renamedFields[path]; ok {
				event.ChangedFields.Paths[i] = name
			}
		}
	}
	nowTickets, nowEvents := unmarshalAnswers(t, mustMarshalAnswers(t, s))
	if diff := cmp.Diff(tickets, nowTickets, protocmp.Transform()); diff != "" || len(tickets.GetTickets()) < 5 {
		t.Errorf("the tickets: %s", diff)
	}
	if diff := cmp.Diff(events, nowEvents, protocmp.Transform()); diff != "" || len(events.GetEvents()) < 10 {
		t.Errorf("the events: %s", diff)
	}

	// Every event is known, whatever came since, and a watcher resumes where it was.
	for i, record := range earlierEvents(t) {
		if err := record(t.Context(), newRecorder(s)); err != nil {
			t.Errorf("event %d, once more: %v", i, err)
		}
	}
	if _, again := unmarshalAnswers(t, mustMarshalAnswers(t, s)); !cmp.Equal(events, again, protocmp.Transform()) {
		t.Error("events that are sent once more are recorded once more")
	}
	_, err = newRecorder(s).TicketUpdated(t.Context(), &ticketv1.TicketUpdatedRequest{
		Event:     &ticketv1.EventMetadata{EventId: "since", OccurTime: &timestamppb.Timestamp{Seconds: 1_780_000_035}},
		Ticket:    &ticketv1.Ticket{TicketId: "full", Title: "later than created, earlier than title", Description: "the latest"},
		FieldMask: &fieldmaskpb.FieldMask{Paths: []string{"title", "description"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.tickets.GetTicket(t.Context(), &ticketv1.GetTicketRequest{TicketId: "full"})
	if err != nil || got.GetTicket().GetTitle() != "the title of update 3" || got.GetTicket().GetDescription() != "the latest" {
		t.Errorf("GetTicket = %v, %v; want the title of before and the description of since", got, err)
	}
	token := string(mustReadFile(t, filepath.Join(folder, database.file+".token")))
	if ids, err := s.watch(t, token, 1); err != nil || !ids["since"] {
		t.Errorf("a watcher with the token of before is told of %v, %v", ids, err)
	}
}

// earlierEvents returns the calls that record something of every kind that databases hold.
func earlierEvents(t *testing.T) []func(context.Context, ticketv1connect.TicketEventServiceClient) error {
	moment := func(seconds int64) *timestamppb.Timestamp {
		return &timestamppb.Timestamp{Seconds: 1_780_000_000 + seconds, Nanos: 123_456_789}
	}
	created := func(id string, at int64, ticket *ticketv1.Ticket, fields ...string) func(context.Context,
		ticketv1connect.TicketEventServiceClient) error {
		return func(ctx context.Context, client ticketv1connect.TicketEventServiceClient) error {
			_, err := client.TicketCreated(ctx, &ticketv1.TicketCreatedRequest{
				Event:  &ticketv1.EventMetadata{EventId: id, OccurTime: moment(at), ReceiveTime: moment(at + 2)},
				Ticket: ticket, FieldMask: &fieldmaskpb.FieldMask{Paths: fields}})
			return err
		}
	}
	updated := func(id string, at int64, ticket *ticketv1.Ticket, snapshot bool, elements []string, fields ...string) func(context.Context,
		ticketv1connect.TicketEventServiceClient) error {
		return func(ctx context.Context, client ticketv1connect.TicketEventServiceClient) error {
			_, err := client.TicketUpdated(ctx, &ticketv1.TicketUpdatedRequest{
				Event:  &ticketv1.EventMetadata{EventId: id, OccurTime: moment(at)},
				Ticket: ticket, FieldMask: &fieldmaskpb.FieldMask{Paths: fields}, FullSnapshot: snapshot,
				ElementChangeMask: &fieldmaskpb.FieldMask{Paths: elements}})
			return err
		}
	}
	full := fullTicket(t)
	full.TicketId = "full"
	full.CommentCount = 3
	full.Attributes = map[string]string{"sortHash": `"x"`, "read": "true", "category": `{"odd":1}`}
	full.CustomSettings = append(full.CustomSettings,
		&ticketv1.CustomSetting{Key: "n", Type: "number", SettingValue: &ticketv1.CustomSetting_ValueJson{ValueJson: "12345678901234567890.5"}},
		&ticketv1.CustomSetting{Key: "none", Attributes: map[string]string{"label": `"Lage"`, "order": "1"}},
		&ticketv1.CustomSetting{Key: "empty", SettingValue: &ticketv1.CustomSetting_Value{}})
	all := []string{"app_id", "increment_id", "title", "description", "status_text", "category_id", "assignee_id", "creator_id", "property_id",
		"unit_name", "channels", "label_ids", "tags", "file_ids", "phone_number", "custom_settings", "comment_count", "create_time",
		"update_time", "last_status_update_time", "attributes"}
	renamed := func(id string, ticket *ticketv1.Ticket) *ticketv1.Ticket {
		with := proto.CloneOf(ticket)
		with.TicketId = id
		return with
	}
	calls := []func(context.Context, ticketv1connect.TicketEventServiceClient) error{
		created("full created", 10, full, all...),
		updated("full title", 40, &ticketv1.Ticket{TicketId: "full", Title: "the title of update 3"}, false, nil, "title"),
		updated("full status", 30, &ticketv1.Ticket{TicketId: "full", StatusText: "closed", UpdateTime: moment(31)}, false, nil, "status_text",
			"update_time"),
		updated("full cleared", 50, &ticketv1.Ticket{TicketId: "full"}, false, nil, "tags", "phone_number", "custom_settings", "category_id"),
		updated("full superseded", 5, &ticketv1.Ticket{TicketId: "full", Title: "superseded", Attributes: map[string]string{"old": "1"}}, false,
			nil, "title", "attributes"),

		updated("elements", 20, &ticketv1.Ticket{TicketId: "elements", Attributes: map[string]string{"labels": `{"added":["a"]}`}}, false,
			[]string{"label_ids", "file_ids"}, "label_ids", "file_ids", "attributes"),
		created("elements created", 10, &ticketv1.Ticket{TicketId: "elements", LabelIds: []string{"l"}, Title: "of creation"},
			"label_ids", "title"),

		updated("fragment", 20, &ticketv1.Ticket{TicketId: "fragment", AssigneeId: "u1"}, false, nil, "assignee_id"),
		updated("snapshot", 20, renamed("snapshot", full), true, nil, all...),
		updated("tie a", 20, &ticketv1.Ticket{TicketId: "tie", StatusText: "closed", UpdateTime: moment(9)}, false, nil, "status_text",
			"update_time"),
		updated("tie b", 20, &ticketv1.Ticket{TicketId: "tie", StatusText: "a word of tomorrow", UpdateTime: moment(8)}, false, nil,
			"status_text", "update_time"),
		updated("tie c", 20, &ticketv1.Ticket{TicketId: "tie", StatusText: "waiting-for-agent"}, false, nil, "status_text"),
		created("empty", 20, &ticketv1.Ticket{TicketId: "empty"}),
	}
	return append(calls, created("erased", 20, renamed("erased", full), all...))
}

// mustMarshalAnswers returns what ticketsvc answers about all of these tickets: the tickets, and then their events.
func mustMarshalAnswers(t *testing.T, s *system) []byte {
	t.Helper()
	ids := []string{"full", "elements", "fragment", "snapshot", "tie", "empty"}
	tickets, err := s.tickets.BatchGetTickets(t.Context(), &ticketv1.BatchGetTicketsRequest{TicketIds: ids})
	if err != nil {
		t.Fatal(err)
	}
	events := &ticketv1.ListTicketEventsResponse{}
	for _, id := range ids {
		of, err := s.tickets.ListTicketEvents(t.Context(), &ticketv1.ListTicketEventsRequest{TicketId: id, PageSize: 1000})
		if err != nil {
			t.Fatal(err)
		}
		events.Events = append(events.Events, of.GetEvents()...)
	}
	_, err = s.tickets.GetTicket(t.Context(), &ticketv1.GetTicketRequest{TicketId: "erased"})
	if connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("the erased ticket: %v, want NOT_FOUND", err)
	}
	var answers bytes.Buffer
	for _, message := range []proto.Message{tickets, events} {
		_, err := protodelim.MarshalTo(&answers, message)
		must(err)
	}
	return answers.Bytes()
}

func unmarshalAnswers(t *testing.T, answers []byte) (*ticketv1.BatchGetTicketsResponse, *ticketv1.ListTicketEventsResponse) {
	t.Helper()
	reader := bytes.NewReader(answers)
	tickets, events := &ticketv1.BatchGetTicketsResponse{}, &ticketv1.ListTicketEventsResponse{}
	for _, message := range []proto.Message{tickets, events} {
		if err := protodelim.UnmarshalFrom(reader, message); err != nil {
			t.Fatal(err)
		}
	}
	return tickets, events
}

func newRecorder(s *system) ticketv1connect.TicketEventServiceClient {
	return ticketv1connect.NewTicketEventServiceClient(http.DefaultClient, "http://"+s.ticketsvcs[0].address)
}

func mustReadFile(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func mustWriteFile(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
