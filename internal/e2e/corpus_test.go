package e2e_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/internal/testkit/samples"
)

// post signs and posts a body to the first gateway, and returns the answer's status and message.
func (s *system) post(t *testing.T, body []byte) (int, string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	status, text, err := post(t.Context(), client, s.webhookURLs()[0], body)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct{ Message string }
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatal(err)
	}
	return status, answer.Message
}

func (s *system) postFile(t *testing.T, name string) (int, string) {
	t.Helper()
	body, err := samples.Files.ReadFile(name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return s.post(t, body)
}

func at(t *testing.T, text string) *timestamppb.Timestamp {
	t.Helper()
	when, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return timestamppb.New(when)
}

const app = "82662ee4-0080-4960-8b8f-d7693e6ff3e4"

// fullTicket is the ticket of created-full.json.
func fullTicket(t *testing.T) *ticketv1.Ticket {
	return &ticketv1.Ticket{
		TicketId: "5f0c1e2d3b4a596877660101", AppId: app, IncrementId: "10432", Title: "Heizung im Bad kalt",
		Description: "Seit gestern Abend bleibt der Heizkörper kalt. 🥶 Bereits zweimal entlüftet.",
		Status:      ticketv1.TicketStatus_TICKET_STATUS_WAITING_FOR_AGENT, StatusText: "waiting-for-agent",
		CategoryId: "5d1f2c3b4a59687766550001", CreatorId: "5b00c001", PropertyId: "5a00d001", UnitName: "3.02",
		Channels: []string{"App-" + app, "Property-778"}, LabelIds: []string{"5e00aa01"}, Tags: []string{"heating"},
		FileIds: []string{"5e00ff01", "5e00ff02"}, PhoneNumber: "+41790000001",
		CustomSettings: []*ticketv1.CustomSetting{{Key: "room", Type: "string", SettingValue: &ticketv1.CustomSetting_Value{Value: "bathroom"}}},
		CreateTime:     at(t, "2026-03-02T07:15:30Z"), UpdateTime: at(t, "2026-03-02T07:15:30Z"),
		LastStatusUpdateTime: at(t, "2026-03-02T07:15:30Z"), Revision: 1, Complete: true,
	}
}

// expectTicket compares a ticket with what it should be, its attributes apart.
func (s *system) expectTicket(t *testing.T, want *ticketv1.Ticket) *ticketv1.Ticket {
	t.Helper()
	got := s.waitForTicket(t, want.GetTicketId(), want.GetRevision())
	if diff := cmp.Diff(want, got, protocmp.Transform(), protocmp.IgnoreFields(&ticketv1.Ticket{}, "attributes")); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	return got
}

func TestEachSampleDeliveryGivesItsAnswerAndTicket(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	success := func(name string) {
		t.Helper()
		if status, message := s.postFile(t, name); status != 200 || message != "success" {
			t.Errorf("%s: %d %q, want 200 success", name, status, message)
		}
	}

	want := fullTicket(t)
	success("created-full")
	got := s.expectTicket(t, want)
	wantAttributes := map[string]string{"unreadAdminMessages": "1", "unreadUserMessages": "0", "read": "false", "sortHash": `"zz91"`,
		"customerWaitingSince": `"2026-03-02T07:15:30+00:00"`, "customerWaitingSinceIndicator": `"green"`, "_embedded.conversations": "[]",
		"_embedded.files": "[]"}
	for name, value := range wantAttributes {
		if got.GetAttributes()[name] != value {
			t.Errorf("attribute %s is %q, want %q", name, got.GetAttributes()[name], value)
		}
	}
	for _, name := range []string{"channelPaths", "_embedded.category", "_embedded.group"} {
		if _, ok := got.GetAttributes()[name]; !ok {
			t.Errorf("attribute %s is missing", name)
		}
	}
	if text := protojson.Format(got); strings.Contains(text, "mara@example.test") || strings.Contains(text, "Mara") {
		t.Error("the ticket holds what its creator is called")
	}

	success("updated-status")
	want.Status, want.StatusText, want.Revision = ticketv1.TicketStatus_TICKET_STATUS_WAITING_FOR_CUSTOMER, "waiting-for-customer", 2
	want.UpdateTime, want.LastStatusUpdateTime = at(t, "2026-03-02T08:00:00Z"), at(t, "2026-03-02T08:00:00Z")
	s.expectTicket(t, want)

	success("updated-old-new")
	want.AssigneeId, want.Title, want.Revision = "5b00c0aa", "Heizung Bad und Küche kalt", 3
	want.Status, want.StatusText = ticketv1.TicketStatus_TICKET_STATUS_WAITING_FOR_EXTERNAL, "waiting-for-external"
	want.UpdateTime = at(t, "2026-03-02T08:05:00Z")
	s.expectTicket(t, want)

	success("updated-clear")
	want.AssigneeId, want.LabelIds, want.PhoneNumber, want.Revision = "", nil, "", 4
	want.UpdateTime = at(t, "2026-03-02T08:10:00Z")
	s.expectTicket(t, want)

	success("updated-closed")
	want.Status, want.StatusText, want.CommentCount, want.Revision = ticketv1.TicketStatus_TICKET_STATUS_CLOSED, "closed", 4, 5
	want.UpdateTime = at(t, "2026-03-03T16:20:00.5Z")
	s.expectTicket(t, want)

	success("created-minimal")
	s.expectTicket(t, &ticketv1.Ticket{TicketId: "5f0c1e2d3b4a596877660102", AppId: app, Title: "Lift steht", StatusText: "waiting-for-agent",
		Status: ticketv1.TicketStatus_TICKET_STATUS_WAITING_FOR_AGENT, CreateTime: at(t, "2026-03-02T09:00:00Z"),
		UpdateTime: at(t, "2026-03-02T09:00:00Z"), Revision: 1, Complete: true})

	success("created-numbers")
	got = s.expectTicket(t, &ticketv1.Ticket{TicketId: "5f0c1e2d3b4a596877660103", AppId: app, IncrementId: "10433", Title: "Big numbers",
		Description: "kept exactly", StatusText: "waiting-for-agent", Status: ticketv1.TicketStatus_TICKET_STATUS_WAITING_FOR_AGENT,
		CreateTime: at(t, "2026-03-02T09:01:00Z"), UpdateTime: at(t, "2026-03-02T09:01:00Z"), Revision: 1, Complete: true})
	if diff := cmp.Diff(map[string]string{"externalRef": "9007199254740993", "ratio": "0.1",
		"nested": "{\n    \"deep\": {\n     \"list\": [\n      1,\n      2.5,\n      \"drei\",\n      null,\n      true\n     ]\n    }\n   }"},
		got.GetAttributes()); diff != "" {
		t.Errorf("attributes, to the byte:\n%s", diff)
	}

	success("created-unknown-status")
	s.expectTicket(t, &ticketv1.Ticket{TicketId: "5f0c1e2d3b4a596877660104", AppId: app, Title: "New kind of status", Description: "x",
		StatusText: "waiting-for-craftsmen", CreateTime: at(t, "2026-03-02T09:02:00Z"), UpdateTime: at(t, "2026-03-02T09:02:00Z"),
		Revision: 1, Complete: true})

	success("updated-before-created")
	s.expectTicket(t, &ticketv1.Ticket{TicketId: "5f0c1e2d3b4a596877660105", AppId: app, StatusText: "closed",
		Status: ticketv1.TicketStatus_TICKET_STATUS_CLOSED, UpdateTime: at(t, "2026-03-02T10:30:00Z"), Revision: 1})

	success("updated-snapshot")
	snapshot := proto.CloneOf(fullTicket(t))
	snapshot.TicketId, snapshot.CommentCount = "5f0c1e2d3b4a596877660106", 2
	snapshot.CreatorId, snapshot.PropertyId, snapshot.UnitName = "", "", ""
	s.expectTicket(t, snapshot)

	success("created-live-forms")
	live := &ticketv1.Ticket{
		TicketId: "5f0c1e2d3b4a596877660111", AppId: app, IncrementId: "10511", Title: "Anfrage über das Webformular",
		Description: "Die Haustür schliesst nicht.", StatusText: "waiting-for-agent",
		Status:     ticketv1.TicketStatus_TICKET_STATUS_WAITING_FOR_AGENT,
		CategoryId: "5d1f2c3b4a59687766550001", Channels: []string{"Region-Nord"}, PhoneNumber: "+41 00 000 00 11",
		CustomSettings: []*ticketv1.CustomSetting{
			{Key: "requesterEmail", SettingValue: &ticketv1.CustomSetting_Value{Value: "erika.muster@example.test"}},
			{Key: "requesterName", SettingValue: &ticketv1.CustomSetting_Value{Value: "Erika Muster"}},
		},
		CreateTime: at(t, "2026-06-18T13:51:52Z"), UpdateTime: at(t, "2026-06-18T13:51:52Z"), Revision: 1, Complete: true,
	}
	s.expectTicket(t, live)
	success("updated-live-forms")
	live.AssigneeId, live.LabelIds, live.Revision = "5f0c1e2d3b4a596877660901", []string{"5d1f2c3b4a59687766550801"}, 2
	live.Status, live.StatusText = ticketv1.TicketStatus_TICKET_STATUS_WAITING_FOR_EXTERNAL, "waiting-for-external"
	live.CustomSettings = []*ticketv1.CustomSetting{
		{Key: "requesterName", SettingValue: &ticketv1.CustomSetting_Value{Value: "Erika Muster-Keller"}},
	}
	live.UpdateTime, live.LastStatusUpdateTime = at(t, "2026-06-18T14:10:00Z"), at(t, "2026-06-18T14:10:00Z")
	s.expectTicket(t, live)

	if status, message := s.postFile(t, "unexpected-event"); status != 400 || message != "Unexpected event type" {
		t.Errorf("unexpected-event: %d %q", status, message)
	}
	// Posted again, nothing has an effect.
	for _, name := range []string{"created-full", "updated-status", "updated-closed"} {
		success(name)
	}
	success("updated-before-created")
	s.expectTicket(t, want)
	for _, service := range []*service{s.gateways[0], s.ticketsvcs[0]} {
		stop(t, service)
		log, err := os.ReadFile(service.log)
		if err != nil {
			t.Fatal(err)
		}
		for _, personal := range []string{"Heizung", "Heizk", "Mara", "mara@", "Erika", "erika", "+4179", secret} {
			if bytes.Contains(log, []byte(personal)) {
				t.Errorf("%s holds %q", service.log, personal)
			}
		}
	}
}
