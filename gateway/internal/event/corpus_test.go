package event_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ticketbridge/ticketbridge/gateway/internal/event"
	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/internal/testkit/samples"
)

const (
	corpusApp      = "82662ee4-0080-4960-8b8f-d7693e6ff3e4"
	corpusCategory = "5d1f2c3b4a59687766550001"
	corpusTicket   = "5f0c1e2d3b4a596877660101"
)

// receiveTime is the receive time of every delivery in these tests. An event may be dated at most tolerance after it.
var receiveTime = time.Date(2026, 6, 18, 15, 0, 0, 5, time.UTC)

const tolerance = 24 * time.Hour

func TestMap_corpus(t *testing.T) {
	t.Parallel()
	for name, want := range corpusRequests() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := event.Map(mustReadCorpus(t, name), receiveTime, tolerance)
			if err != nil {
				t.Fatalf("Map: %v", err)
			}
			want.Elements = elementsOf(t, want)
			if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
				t.Errorf("Map (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMap_corpusIsComplete(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("../../../internal/testkit/samples/*.json")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	requests := corpusRequests()
	for _, path := range paths {
		name := filepath.Base(path)
		if _, tested := requests[name]; tested == (name == "unexpected-event.json") {
			t.Errorf("%s: has a request: %t", name, tested)
		}
	}
}

func TestMap_unexpectedEventOfTheCorpus(t *testing.T) {
	t.Parallel()
	_, err := event.Map(mustReadCorpus(t, "unexpected-event.json"), receiveTime, tolerance)
	if reason := reasonOf(t, err); reason != "event.name is unexpected" {
		t.Errorf("reason = %q", reason)
	}
}

// corpusRequests returns the request to which each file of the corpus is mapped. It does not have the files that can't be mapped.
func corpusRequests() map[string]event.Result {
	opened := date(2026, 3, 2, 7, 15, 30, 0)
	wholeTicket := func() *ticketv1.Ticket {
		return &ticketv1.Ticket{
			TicketId:    corpusTicket,
			AppId:       corpusApp,
			IncrementId: "10432",
			Title:       "Heizung im Bad kalt",
			Description: "Seit gestern Abend bleibt der Heizkörper kalt. 🥶 Bereits zweimal entlüftet.",
			StatusText:  "waiting-for-agent",
			CategoryId:  corpusCategory,
			Channels:    []string{"App-" + corpusApp, "Property-778"},
			LabelIds:    []string{"5e00aa01"},
			Tags:        []string{"heating"},
			FileIds:     []string{"5e00ff01", "5e00ff02"},
			PhoneNumber: "+41790000001",
			CustomSettings: []*ticketv1.CustomSetting{
				{Key: "room", Type: "string", SettingValue: &ticketv1.CustomSetting_Value{Value: "bathroom"}},
			},
			CreateTime:           opened,
			UpdateTime:           opened,
			LastStatusUpdateTime: opened,
			Attributes: map[string]string{
				"channelPaths": "[\n    [\n     \"App-" + corpusApp + "\",\n     \"Property-778\"\n    ]\n   ]",

				"customerWaitingSince":          `"2026-03-02T07:15:30+00:00"`,
				"customerWaitingSinceIndicator": `"green"`,
				"read":                          "false",
				"sortHash":                      `"zz91"`,
				"unreadAdminMessages":           "1",
				"unreadUserMessages":            "0",
			},
		}
	}

	full := wholeTicket()
	full.CreatorId = "5b00c001"
	full.PropertyId = "5a00d001"
	full.UnitName = "3.02"
	full.Attributes["_embedded.category"] = "{\n     \"id\": \"" + corpusCategory + "\",\n     \"key\": \"damage-report\",\n     " +
		"\"name\": {\n      \"de_DE\": \"Schadensmeldung\",\n      \"en_US\": \"Damage report\"\n     }\n    }"
	full.Attributes["_embedded.group"] = "{\n     \"address\": {\n      \"street\": \"Hauptstrasse\",\n      \"houseNumber\": \"12b\",\n" +
		"      \"zipCode\": \"8000\",\n      \"city\": \"Zürich\",\n      \"country\": \"CH\"\n     }\n    }"
	full.Attributes["_embedded.conversations"] = "[]"
	full.Attributes["_embedded.files"] = "[]"

	snapshot := wholeTicket()
	snapshot.TicketId = "5f0c1e2d3b4a596877660106"
	snapshot.CommentCount = 2

	liveCreated := created("0b5a1d6e-7c1f-4a86-9d0e-5b2f6a1c0111", date(2026, 6, 18, 13, 51, 53, 0), &ticketv1.Ticket{
		TicketId:    "5f0c1e2d3b4a596877660111",
		AppId:       corpusApp,
		IncrementId: "10511",
		Title:       "Anfrage über das Webformular",
		Description: "Die Haustür schliesst nicht.",
		StatusText:  "waiting-for-agent",
		CategoryId:  corpusCategory,
		Channels:    []string{"Region-Nord"},
		PhoneNumber: "+41 00 000 00 11",
		CustomSettings: []*ticketv1.CustomSetting{
			{Key: "requesterEmail", SettingValue: &ticketv1.CustomSetting_Value{Value: "erika.muster@example.test"}},
			{Key: "requesterName", SettingValue: &ticketv1.CustomSetting_Value{Value: "Erika Muster"}},
		},
		CreateTime: date(2026, 6, 18, 13, 51, 52, 0),
		UpdateTime: date(2026, 6, 18, 13, 51, 52, 0),
		Attributes: map[string]string{
			"_links": "{\n        \"self\": {\n          \"href\": \"/api/v1/tickets/5f0c1e2d3b4a596877660111\"\n        }\n      }",

			"channelPaths":                  "[\n        [\n          \"Region-Nord\",\n          \"Haus-7\"\n        ]\n      ]",
			"customerWaitingSinceIndicator": `"green"`,
			"read":                          "false",
			"sortHash":                      `"x"`,
			"unreadAdminMessages":           "0",
			"unreadUserMessages":            "0",
		},
	}, "app_id", "assignee_id", "attributes", "category_id", "channels", "comment_count", "create_time", "custom_settings", "description",
		"file_ids", "increment_id", "label_ids", "last_status_update_time", "phone_number", "status_text", "tags", "title", "update_time")
	liveCreated.Findings = []event.Finding{
		{Field: "data.labels", Form: "empty object"},
		{Field: "data.lastStatusUpdate", Form: "zero date"},
		{Field: "data._embedded", Form: "empty list"},
	}
	liveUpdated := updated("0b5a1d6e-7c1f-4a86-9d0e-5b2f6a1c0112", date(2026, 6, 18, 14, 10, 0, 0), &ticketv1.Ticket{
		TicketId:   "5f0c1e2d3b4a596877660111",
		AppId:      corpusApp,
		AssigneeId: "5f0c1e2d3b4a596877660901",
		StatusText: "waiting-for-external",
		LabelIds:   []string{"5d1f2c3b4a59687766550801"},
		CustomSettings: []*ticketv1.CustomSetting{
			{Key: "requesterName", SettingValue: &ticketv1.CustomSetting_Value{Value: "Erika Muster-Keller"}},
		},
		UpdateTime:           date(2026, 6, 18, 14, 10, 0, 0),
		LastStatusUpdateTime: date(2026, 6, 18, 14, 10, 0, 0),
	}, "app_id", "assignee_id", "custom_settings", "label_ids", "last_status_update_time", "status_text", "update_time")
	liveUpdated.Findings = []event.Finding{{Field: "data.delta.lastStatusUpdate", Form: "object with a date"}}

	return map[string]event.Result{
		"created-live-forms.json": liveCreated,
		"updated-live-forms.json": liveUpdated,
		"created-full.json": created("0b6a4a0e-5b7e-4a5e-9c66-000000000001", date(2026, 3, 2, 7, 15, 30, 123_000_000), full,
			"app_id", "assignee_id", "attributes", "category_id", "channels", "comment_count", "create_time", "creator_id",
			"custom_settings", "description", "file_ids", "increment_id", "label_ids", "last_status_update_time", "phone_number",
			"property_id", "status_text", "tags", "title", "unit_name", "update_time"),
		"created-minimal.json": created("0b6a4a0e-5b7e-4a5e-9c66-000000000006", date(2026, 3, 2, 9, 0, 0, 0), &ticketv1.Ticket{
			TicketId:   "5f0c1e2d3b4a596877660102",
			AppId:      corpusApp,
			Title:      "Lift steht",
			StatusText: "waiting-for-agent",
			CreateTime: date(2026, 3, 2, 9, 0, 0, 0),
		}, "app_id", "create_time", "description", "status_text", "title"),
		"created-numbers.json": created("0b6a4a0e-5b7e-4a5e-9c66-000000000007", date(2026, 3, 2, 9, 1, 0, 0), &ticketv1.Ticket{
			TicketId:    "5f0c1e2d3b4a596877660103",
			AppId:       corpusApp,
			IncrementId: "10433",
			Title:       "Big numbers",
			Description: "kept exactly",
			StatusText:  "waiting-for-agent",
			CreateTime:  date(2026, 3, 2, 9, 1, 0, 0),
			Attributes: map[string]string{
				"externalRef": "9007199254740993",
				"ratio":       "0.1",
				"nested": "{\n    \"deep\": {\n     \"list\": [\n      1,\n      2.5,\n      \"drei\",\n      null,\n      true\n" +
					"     ]\n    }\n   }",
			},
		}, "app_id", "attributes", "create_time", "description", "increment_id", "status_text", "title"),
		"created-unknown-status.json": created("0b6a4a0e-5b7e-4a5e-9c66-000000000008", date(2026, 3, 2, 9, 2, 0, 0), &ticketv1.Ticket{
			TicketId:    "5f0c1e2d3b4a596877660104",
			AppId:       corpusApp,
			Title:       "New kind of status",
			Description: "x",
			StatusText:  "waiting-for-craftsmen",
			CreateTime:  date(2026, 3, 2, 9, 2, 0, 0),
		}, "app_id", "create_time", "description", "status_text", "title"),
		"updated-before-created.json": updated("0b6a4a0e-5b7e-4a5e-9c66-000000000009", date(2026, 3, 2, 10, 30, 0, 0), &ticketv1.Ticket{
			TicketId:   "5f0c1e2d3b4a596877660105",
			AppId:      corpusApp,
			StatusText: "closed",
		}, "app_id", "status_text"),
		"updated-clear.json": updated("0b6a4a0e-5b7e-4a5e-9c66-000000000004", date(2026, 3, 2, 8, 10, 0, 0), &ticketv1.Ticket{
			TicketId: corpusTicket,
			AppId:    corpusApp,
		}, "app_id", "assignee_id", "label_ids", "phone_number"),
		"updated-closed.json": updated("0b6a4a0e-5b7e-4a5e-9c66-000000000005", date(2026, 3, 3, 16, 20, 0, 500_000_000), &ticketv1.Ticket{
			TicketId:     corpusTicket,
			AppId:        corpusApp,
			StatusText:   "closed",
			CommentCount: 4,
		}, "app_id", "comment_count", "status_text"),
		"updated-old-new.json": updated("0b6a4a0e-5b7e-4a5e-9c66-000000000003", date(2026, 3, 2, 8, 5, 0, 0), &ticketv1.Ticket{
			TicketId:   corpusTicket,
			AppId:      corpusApp,
			AssigneeId: "5b00c0aa",
			Title:      "Heizung Bad und Küche kalt",
			StatusText: "waiting-for-external",
		}, "app_id", "assignee_id", "status_text", "title"),
		"updated-snapshot.json": wholeUpdate("0b6a4a0e-5b7e-4a5e-9c66-000000000010", date(2026, 3, 2, 10, 31, 0, 0), snapshot,
			"app_id", "assignee_id", "attributes", "category_id", "channels", "comment_count", "create_time", "custom_settings",
			"description", "file_ids", "increment_id", "label_ids", "last_status_update_time", "phone_number", "status_text", "tags",
			"title", "update_time"),
		"updated-status.json": updated("0b6a4a0e-5b7e-4a5e-9c66-000000000002", date(2026, 3, 2, 8, 0, 0, 0), &ticketv1.Ticket{
			TicketId:             corpusTicket,
			AppId:                corpusApp,
			StatusText:           "waiting-for-customer",
			UpdateTime:           date(2026, 3, 2, 8, 0, 0, 0),
			LastStatusUpdateTime: date(2026, 3, 2, 8, 0, 0, 0),
		}, "app_id", "last_status_update_time", "status_text", "update_time"),
	}
}

func created(eventID string, occurTime *timestamppb.Timestamp, ticket *ticketv1.Ticket, mask ...string) event.Result {
	return event.Result{Created: &ticketv1.TicketCreatedRequest{
		Event:     &ticketv1.EventMetadata{EventId: eventID, OccurTime: occurTime, ReceiveTime: timestamppb.New(receiveTime)},
		Ticket:    ticket,
		FieldMask: &fieldmaskpb.FieldMask{Paths: mask},
	}}
}

func updated(eventID string, occurTime *timestamppb.Timestamp, ticket *ticketv1.Ticket, mask ...string) event.Result {
	return event.Result{Updated: &ticketv1.TicketUpdatedRequest{
		Event:     &ticketv1.EventMetadata{EventId: eventID, OccurTime: occurTime, ReceiveTime: timestamppb.New(receiveTime)},
		Ticket:    ticket,
		FieldMask: &fieldmaskpb.FieldMask{Paths: mask},
	}}
}

func wholeUpdate(eventID string, occurTime *timestamppb.Timestamp, ticket *ticketv1.Ticket, mask ...string) event.Result {
	request := updated(eventID, occurTime, ticket, mask...)
	request.Updated.FullSnapshot = true
	return request
}

func date(year, month, day, hour, minute, second, nanosecond int) *timestamppb.Timestamp {
	return timestamppb.New(time.Date(year, time.Month(month), day, hour, minute, second, nanosecond, time.UTC))
}

func mustReadCorpus(tb testing.TB, name string) []byte {
	tb.Helper()
	body, err := samples.Files.ReadFile(name)
	if err != nil {
		tb.Fatal(err)
	}
	return body
}
