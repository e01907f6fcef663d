package event_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ticketbridge/ticketbridge/gateway/internal/event"
	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
)

// bodyWith returns a body with that event.data, and with a URN that names neither an App nor a ticket.
func bodyWith(name, data string) []byte {
	return []byte(`{"event":{"id":"e1","name":"` + name + `","createdDate":"2026-03-02T08:00:00Z","urn":"urn:x","data":` + data + `}}`)
}

// mustUpdate maps an update of ticket t1. data is its event.data without the outer braces. It returns the ticket without its id.
func mustUpdate(tb testing.TB, data string) (*ticketv1.Ticket, []string) {
	tb.Helper()
	request, err := event.Map(bodyWith("ticket.updated", `{"id":"t1",`+data+`}`), receiveTime, tolerance)
	if err != nil {
		tb.Fatalf("Map: %v", err)
	}
	ticket := request.Updated.GetTicket()
	if ticket.GetTicketId() != "t1" {
		tb.Errorf("ticket_id = %q", ticket.GetTicketId())
	}
	ticket.TicketId = ""
	return ticket, request.Updated.GetFieldMask().GetPaths()
}

func diffTicket(tb testing.TB, data string, want *ticketv1.Ticket, wantMask ...string) {
	tb.Helper()
	ticket, mask := mustUpdate(tb, data)
	if diff := cmp.Diff(want, ticket, protocmp.Transform()); diff != "" {
		tb.Errorf("ticket (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(wantMask, mask); diff != "" {
		tb.Errorf("mask (-want +got):\n%s", diff)
	}
}

func TestMap_everyField(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		data string
		want *ticketv1.Ticket
		mask string
	}{
		"incrementID as a string":  {`"incrementID":"0010432"`, &ticketv1.Ticket{IncrementId: "0010432"}, "increment_id"},
		"incrementID as a number":  {`"incrementID":9007199254740993`, &ticketv1.Ticket{IncrementId: "9007199254740993"}, "increment_id"},
		"incrementID, null":        {`"incrementID":null`, &ticketv1.Ticket{}, "increment_id"},
		"title":                    {`"title":"a\u0000\ud83e\udd76\n"`, &ticketv1.Ticket{Title: "a\x00🥶\n"}, "title"},
		"title by an escaped name": {`"t\u0069tle":"a"`, &ticketv1.Ticket{Title: "a"}, "title"},
		"title, empty":             {`"title":""`, &ticketv1.Ticket{}, "title"},
		"description":              {`"description":"d"`, &ticketv1.Ticket{Description: "d"}, "description"},
		"status":                   {`"status":"closed"`, &ticketv1.Ticket{StatusText: "closed"}, "status_text"},
		"status, null":             {`"status":null`, &ticketv1.Ticket{}, "status_text"},
		"category":                 {`"category":"c1"`, &ticketv1.Ticket{CategoryId: "c1"}, "category_id"},
		"category as an object":    {`"category":{"id":"c1","key":"k"}`, &ticketv1.Ticket{CategoryId: "c1"}, "category_id"},
		"category as a number":     {`"category":12345678901234567890`, &ticketv1.Ticket{CategoryId: "12345678901234567890"}, "category_id"},
		"channels":                 {`"channels":["a","b"]`, &ticketv1.Ticket{Channels: []string{"a", "b"}}, "channels"},
		"channels, null":           {`"channels":null`, &ticketv1.Ticket{}, "channels"},
		"labels": {`"labels":["l1",{"key":"k","id":"l2"},3]`, &ticketv1.Ticket{LabelIds: []string{"l1", "l2", "3"}},
			"label_ids"},
		"labels, empty":               {`"labels":[ ]`, &ticketv1.Ticket{}, "label_ids"},
		"tags":                        {`"tags":["",""]`, &ticketv1.Ticket{Tags: []string{"", ""}}, "tags"},
		"files":                       {`"files":["f1"]`, &ticketv1.Ticket{FileIds: []string{"f1"}}, "file_ids"},
		"phoneNumber":                 {`"phoneNumber":"+41 79"`, &ticketv1.Ticket{PhoneNumber: "+41 79"}, "phone_number"},
		"assignedTo":                  {`"assignedTo":"u1"`, &ticketv1.Ticket{AssigneeId: "u1"}, "assignee_id"},
		"assignedTo as an object":     {`"assignedTo":{"email":"e","id":7}`, &ticketv1.Ticket{AssigneeId: "7"}, "assignee_id"},
		"createdBy beside the others": {`"createdBy":{"email":"e","id":"u1"}`, &ticketv1.Ticket{CreatorId: "u1"}, "creator_id"},
		"commentCount":                {`"commentCount":-3`, &ticketv1.Ticket{CommentCount: -3}, "comment_count"},
		"commentCount in digits":      {`"commentCount":"2147483647"`, &ticketv1.Ticket{CommentCount: 2147483647}, "comment_count"},
		"commentCount, zero":          {`"commentCount":0`, &ticketv1.Ticket{}, "comment_count"},
		"createdAt": {`"createdAt":"2026-03-02T08:00:00Z"`, &ticketv1.Ticket{CreateTime: date(2026, 3, 2, 8, 0, 0, 0)},
			"create_time"},
		"updatedAt": {`"updatedAt":"2026-03-02T08:00:00Z"`, &ticketv1.Ticket{UpdateTime: date(2026, 3, 2, 8, 0, 0, 0)},
			"update_time"},
		"updatedAt, null":         {`"updatedAt":null`, &ticketv1.Ticket{}, "update_time"},
		"an unknown field":        {`"x":{ "a" : 1.50 }`, attributesOnly("x", `{ "a" : 1.50 }`), "attributes"},
		"an unknown field, null":  {`"x":null`, attributesOnly("x", "null"), "attributes"},
		"2^53+1":                  {`"x":9007199254740993`, attributesOnly("x", "9007199254740993"), "attributes"},
		"a fraction":              {`"x":0.10`, attributesOnly("x", "0.10"), "attributes"},
		"escapes in an attribute": {`"x":"\ud800\u0041"`, attributesOnly("x", `"\ud800\u0041"`), "attributes"},
		"names by case": {`"Title":1,"ID":2`, &ticketv1.Ticket{Attributes: map[string]string{"Title": "1", "ID": "2"}},
			"attributes"},
		"a name that UTF-8 can't hold": {`"x\ud800":1`, attributesOnly("x\ufffd", "1"), "attributes"},
		"an empty name":                {`"":1`, attributesOnly("", "1"), "attributes"},
		"an unread count of any type":  {`"unreadAdminMessages":"1.5"`, attributesOnly("unreadAdminMessages", `"1.5"`), "attributes"},
		"forms of a change are values outside the delta": {
			`"x":{"old":1,"new":2},"read":[true,false]`,
			&ticketv1.Ticket{Attributes: map[string]string{"x": `{"old":1,"new":2}`, "read": "[true,false]"}}, "attributes",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			diffTicket(t, test.data, test.want, test.mask)
		})
	}
}

func attributesOnly(name, text string) *ticketv1.Ticket {
	return &ticketv1.Ticket{Attributes: map[string]string{name: text}}
}

func TestMap_keepsStringsThatUTF8CannotHold(t *testing.T) {
	t.Parallel()
	diffTicket(t,
		`"title":"a\ud800b","status":"\udc00","assignedTo":{"email":"mara@example.test","id":"\ud800"},"tags":["x", "\ud800"],`+
			`"labels":[ "\ud800" ],"files":[{"id":"\ud800","name":"n"}, 7],"customSettings":[ {"key":"\ud800"} ],"incrementID":"\ud800"`,
		&ticketv1.Ticket{
			Title:          "a\ufffdb",
			StatusText:     "\ufffd",
			Tags:           []string{"x", "\ufffd"},
			IncrementId:    "\ufffd",
			CustomSettings: []*ticketv1.CustomSetting{{Key: "\ufffd"}},
			Attributes: map[string]string{
				"title":          `"a\ud800b"`,
				"status":         `"\udc00"`,
				"assignedTo":     `"\ud800"`,
				"tags":           `["x", "\ud800"]`,
				"labels":         `[ "\ud800" ]`,
				"files":          `["\ud800",7]`,
				"customSettings": `[ {"key":"\ud800"} ]`,
				"incrementID":    `"\ud800"`,
			},
		},
		"assignee_id", "attributes", "custom_settings", "file_ids", "increment_id", "label_ids", "status_text", "tags", "title")
}

func TestMap_readsCustomSettings(t *testing.T) {
	t.Parallel()
	value := func(text string) *ticketv1.CustomSetting {
		return &ticketv1.CustomSetting{Key: "k", Type: "t", SettingValue: &ticketv1.CustomSetting_Value{Value: text}}
	}
	valueJSON := func(text string) *ticketv1.CustomSetting {
		return &ticketv1.CustomSetting{Key: "k", SettingValue: &ticketv1.CustomSetting_ValueJson{ValueJson: text}}
	}
	diffTicket(t, `"customSettings":[{"key":"k","type":"t","value":"v"},{"key":"k","type":"t","value":""},{"key":"k","value":1.0},`+
		`{"key":"k","value":[ 1 ]},{"key":"k","value":{"a": {}}},{"key":"k","value":false},{"key":"k","value":null},{},`+
		`{"key":null,"type":null,"x": [1, 2],"id":9007199254740993,"token":"s3cret"}]`,
		&ticketv1.Ticket{CustomSettings: []*ticketv1.CustomSetting{
			value("v"), value(""), valueJSON("1.0"), valueJSON("[ 1 ]"), valueJSON(`{"a": {}}`), valueJSON("false"), {Key: "k"}, {},
			{Attributes: map[string]string{"x": "[1, 2]", "id": "9007199254740993"}},
		}},
		"custom_settings")
}

func TestMap_neverKeepsAToken(t *testing.T) {
	t.Parallel()
	diffTicket(t, `"t\u006fken":{"old":"s3cret"},"ticket":{"token":"s3cret"},"_embedded":{"token":"s3cret"},`+
		`"delta":{"token":"s3cret","/ticket/token":"s3cret","title":"x",`+
		`"customSettings":{"token":"s3cret"},"_embedded":{"user.token":"s3cret"}},"ticket.token":"s3cret"`,
		&ticketv1.Ticket{Title: "x"}, "custom_settings", "title")
}

func TestMap_mergesThePartsOfData(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		data string
		want *ticketv1.Ticket
		mask []string
	}{
		"the delta wins over data": {
			`"title":"data","delta":{"title":"delta","x":1},"x":2,"description":"d"`,
			&ticketv1.Ticket{Title: "delta", Description: "d", Attributes: map[string]string{"x": "1"}},
			[]string{"attributes", "description", "title"},
		},
		"a cleared field in the delta wins too": {
			`"title":"data","delta":{"title":null},"labels":["a"],"ticket":{"title":"ticket"}`,
			&ticketv1.Ticket{LabelIds: []string{"a"}}, []string{"label_ids", "title"},
		},
		"data wins over data.ticket": {
			`"ticket":{"id":"t2","title":"ticket","status":"closed","x":1,"y":2},"title":"data","x":3`,
			&ticketv1.Ticket{Title: "data", StatusText: "closed", Attributes: map[string]string{"x": "3", "y": "2"}},
			[]string{"attributes", "status_text", "title"},
		},
		"data wins over _embedded": {
			`"_embedded":{"assignedTo":{"id":"u2"},"labels":[{"id":"l2"}]},"assignedTo":null,"labels":["l1"]`,
			&ticketv1.Ticket{LabelIds: []string{"l1"}}, []string{"assignee_id", "label_ids"},
		},
		"_embedded wins over data.ticket": {
			`"ticket":{"assignedTo":"u3","_embedded":{"createdBy":{"id":"u4"}}},"_embedded":{"assignedTo":{"id":"u2"}}`,
			&ticketv1.Ticket{AssigneeId: "u2", CreatorId: "u4"}, []string{"assignee_id", "creator_id"},
		},
		"the delta's _embedded wins over data's": {
			`"_embedded":{"category":{"id":"c1"},"group":1},"delta":{"_embedded":{"category":{"id":"c2"}}}`,
			&ticketv1.Ticket{
				CategoryId: "c2",
				Attributes: map[string]string{"_embedded.category": `{"id":"c2"}`, "_embedded.group": "1"},
			},
			[]string{"attributes", "category_id"},
		},
		"_embedded stands in for what is missing": {
			`"_embedded":{"assignedTo":{"id":"u1"},"createdBy":{"id":2},"category":{"id":"c1"},"property":{"id":"p1","name":"P"},` +
				`"unit":{"name":"3.02"},"labels":[{"id":"l1","key":"k"}],"files":[{"id":"f1"}, "f2"],"comments":[ ]}`,
			&ticketv1.Ticket{
				AssigneeId: "u1", CreatorId: "2", CategoryId: "c1", PropertyId: "p1", UnitName: "3.02",
				LabelIds: []string{"l1"}, FileIds: []string{"f1", "f2"},
				Attributes: map[string]string{
					"_embedded.category": `{"id":"c1"}`,
					"_embedded.files":    `[{"id":"f1"}, "f2"]`,
					"_embedded.comments": `[ ]`,
				},
			},
			[]string{"assignee_id", "attributes", "category_id", "creator_id", "file_ids", "label_ids", "property_id", "unit_name"},
		},
		"null in _embedded clears": {
			`"_embedded":{"assignedTo":null,"unit":null,"labels":null}`,
			&ticketv1.Ticket{}, []string{"assignee_id", "label_ids", "unit_name"},
		},
		"an embedded object without its id is kept": {
			`"_embedded":{"assignedTo":{"email":"mara@example.test"},"unit":{"id": 7},"property":{"name":"P"},"createdBy":{"id":null}}`,
			&ticketv1.Ticket{Attributes: map[string]string{"assignedTo": `{"email":"mara@example.test"}`, "_embedded.unit": `{"id": 7}`,
				"_embedded.property": `{"name":"P"}`, "createdBy": `{"id":null}`}},
			[]string{"assignee_id", "attributes", "creator_id", "property_id", "unit_name"},
		},
		"an empty embedded object clears": {
			`"_embedded":{"assignedTo":[],"unit":{},"property":[ ],"createdBy":{ }}`,
			&ticketv1.Ticket{}, []string{"assignee_id", "creator_id", "property_id", "unit_name"},
		},
		"of an embedded object no more than the id or name is kept": {
			`"_embedded":{"assignedTo":{"id":true,"email":"e"},"unit":{"id":"x","name":[1]},"property":{"id":1.5,"name":"P"}}`,
			&ticketv1.Ticket{Attributes: map[string]string{"assignedTo": "true", "_embedded.unit": "[1]", "_embedded.property": "1.5"}},
			[]string{"assignee_id", "attributes", "property_id", "unit_name"},
		},
		"an unreadable value in the delta wins over data, too": {
			`"commentCount":1,"delta":{"commentCount":{"x":1}}`,
			&ticketv1.Ticket{Attributes: map[string]string{"commentCount": `{"x":1}`}}, []string{"attributes", "comment_count"},
		},
		"structural nulls":     {`"delta":null,"ticket":null,"_embedded":null`, &ticketv1.Ticket{}, []string{}},
		"no delta at all":      {`"ticketId":"t2"`, &ticketv1.Ticket{}, []string{}},
		"ids are no attribute": {`"delta":{"id":"t1","ticketId":"t1"},"ticketId":"t1"`, &ticketv1.Ticket{}, []string{}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			diffTicket(t, test.data, test.want, test.mask...)
		})
	}
}

func TestMap_fullSnapshot(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		data string
		want bool
	}{
		"all three beside the delta":  {`{"id":"t1","title":"a","description":"","status":"s","delta":{"status":"x"}}`, true},
		"all three without a delta":   {`{"id":"t1","title":"a","description":"","status":"s"}`, true},
		"null is named as well":       {`{"id":"t1","title":"a","description":null,"status":"s"}`, true},
		"all three in data.ticket":    {`{"ticket":{"id":"t1","title":"a","description":"","status":"s"},"delta":{}}`, true},
		"one of them in the delta":    {`{"id":"t1","title":"a","description":"","delta":{"status":"x"}}`, false},
		"all three only in the delta": {`{"id":"t1","delta":{"title":"a","description":"","status":"x"}}`, false},
		"none":                        {`{"id":"t1"}`, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			request, err := event.Map(bodyWith("ticket.updated", test.data), receiveTime, tolerance)
			if err != nil {
				t.Fatalf("Map: %v", err)
			}
			if got := request.Updated.GetFullSnapshot(); got != test.want {
				t.Errorf("full_snapshot = %t", got)
			}
		})
	}
}

func TestMap_createTimeDefaultsToTheEventsTime(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		data string
		want *timestamppb.Timestamp
	}{
		"no createdAt":     {`{"id":"t1"}`, date(2026, 3, 2, 8, 0, 0, 0)},
		"a createdAt":      {`{"id":"t1","createdAt":"2020-01-01T00:00:00Z"}`, date(2020, 1, 1, 0, 0, 0, 0)},
		"a null createdAt": {`{"id":"t1","createdAt":null}`, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			request, err := event.Map(bodyWith("ticket.created", test.data), receiveTime, tolerance)
			if err != nil {
				t.Fatalf("Map: %v", err)
			}
			if diff := cmp.Diff(test.want, request.Created.GetTicket().GetCreateTime(), protocmp.Transform()); diff != "" {
				t.Errorf("create_time (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{"create_time"}, request.Created.GetFieldMask().GetPaths()); diff != "" {
				t.Errorf("field_mask (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMap_errors(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ body, reason string }{
		"no JSON":         {`{`, "body is not valid JSON"},
		"no event id":     {`{"event":{"name":"ticket.created","data":{"id":"t1"}}}`, "event.id is missing"},
		"another event":   {string(bodyWith("booking.created", `{"id":"b1"}`)), "event.name is unexpected"},
		"no ticket id":    {string(bodyWith("ticket.created", `{}`)), "no ticket id"},
		"ticket id: long": {string(bodyWith("ticket.created", `{"id":"`+strings.Repeat("x", 257)+`"}`)), "no ticket id"},
		"delta: string":   {string(bodyWith("ticket.updated", `{"id":"t1","delta":"x"}`)), "data.delta: string, in which no change can be read"},
		"delta: number":   {string(bodyWith("ticket.updated", `{"id":"t1","delta":0}`)), "data.delta: number, in which no change can be read"},
		"delta: boolean": {string(bodyWith("ticket.updated", `{"id":"t1","delta":false}`)),
			"data.delta: boolean, in which no change can be read"},
		"delta: a list of nothing": {string(bodyWith("ticket.updated", `{"id":"t1","delta":["status",1,null,[],{},{"field":"title"}]}`)),
			"data.delta: list in which no change can be read"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			request, err := event.Map([]byte(test.body), receiveTime, tolerance)
			if reason := reasonOf(t, err); reason != test.reason {
				t.Errorf("reason = %q, want %q", reason, test.reason)
			}
			if diff := cmp.Diff(event.Result{}, request, protocmp.Transform()); diff != "" {
				t.Errorf("a request beside an error:\n%s", diff)
			}
		})
	}
}
