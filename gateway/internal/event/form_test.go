package event_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/ticketbridge/ticketbridge/gateway/internal/event"
	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
)

// fieldForms are values of fields in other forms than the documented one, each with the expected ticket and the form that a finding names.
// A value that can't be read has a nil ticket and is kept. A value with exact is kept too. None of the values could be a change.
var fieldForms = []struct {
	field, value string
	want         *ticketv1.Ticket
	form         string
	exact        string
}{
	{"title", `"a"`, &ticketv1.Ticket{Title: "a"}, "", ""},
	{"title", `5`, &ticketv1.Ticket{Title: "5"}, "number", ""},
	{"title", `-1.50e+3`, &ticketv1.Ticket{Title: "-1.50e+3"}, "number", ""},
	{"title", `true`, &ticketv1.Ticket{Title: "true"}, "boolean", ""},
	{"title", `{"a": 1}`, nil, "object", ""},
	{"title", `{ }`, nil, "object", ""},
	{"title", `[ ]`, nil, "list", ""},
	{"title", `["a"]`, nil, "list", ""},
	{"title", `"a\ud800"`, &ticketv1.Ticket{Title: "a\ufffd"}, "string that UTF-8 can't hold", `"a\ud800"`},
	{"description", `false`, &ticketv1.Ticket{Description: "false"}, "boolean", ""},
	{"status", `7`, &ticketv1.Ticket{StatusText: "7"}, "number", ""},
	{"phoneNumber", `41790000001`, &ticketv1.Ticket{PhoneNumber: "41790000001"}, "number", ""},
	{"phoneNumber", `{"number":"1"}`, nil, "object", ""},
	{"incrementID", `10433`, &ticketv1.Ticket{IncrementId: "10433"}, "", ""},
	{"incrementID", `1.0`, &ticketv1.Ticket{IncrementId: "1.0"}, "number", ""},
	{"incrementID", `{"id":"1"}`, nil, "object", ""},

	{"category", `7`, &ticketv1.Ticket{CategoryId: "7"}, "number", ""},
	{"category", `{"key":"k","id":"c1"}`, &ticketv1.Ticket{CategoryId: "c1"}, "", ""},
	{"category", `{"id":{"$oid":"c1"}}`, &ticketv1.Ticket{CategoryId: "c1"}, "", ""},
	{"category", `["c"]`, nil, "list", ""},
	{"category", `1.5`, nil, "number", ""},
	{"assignedTo", `{"$oid":"u1"}`, &ticketv1.Ticket{AssigneeId: "u1"}, "", ""},
	{"assignedTo", `{"id":7}`, &ticketv1.Ticket{AssigneeId: "7"}, "number", ""},
	{"assignedTo", `false`, nil, "boolean", ""},
	{"assignedTo", `{"id":false,"email":"e"}`, nil, "boolean", `false`},
	{"assignedTo", `{"id":null,"email":"e"}`, nil, "object", ""},
	{"assignedTo", `{"email":"e"}`, nil, "object", ""},
	{"assignedTo", `[ ]`, &ticketv1.Ticket{}, "empty list", ""},
	{"assignedTo", `{}`, &ticketv1.Ticket{}, "empty object", ""},
	{"assignedTo", `""`, &ticketv1.Ticket{}, "empty string", ""},
	{"createdBy", `"u1"`, &ticketv1.Ticket{CreatorId: "u1"}, "", ""},
	{"createdBy", `{"id":"\ud800","email":"e"}`, nil, "value that is no id", `"\ud800"`},
	{"createdBy", `{"$oid":"u\u200b1"}`, nil, "value that is no id", `"u\u200b1"`},
	{"assignedTo", `"u1\u202e"`, nil, "value that is no id", ""},
	{"category", `"` + strings.Repeat("c", 256) + `"`, &ticketv1.Ticket{CategoryId: strings.Repeat("c", 256)}, "", ""},
	{"category", `"` + strings.Repeat("c", 257) + `"`, nil, "value that is no id", ""},
	{"category", strings.Repeat("7", 257), nil, "value that is no id", ""},

	{"tags", `{}`, &ticketv1.Ticket{}, "empty object", ""},
	{"tags", `""`, &ticketv1.Ticket{}, "empty string", ""},
	{"tags", `"a"`, &ticketv1.Ticket{Tags: []string{"a"}}, "string", ""},
	{"tags", `7`, &ticketv1.Ticket{Tags: []string{"7"}}, "number", ""},
	{"tags", `true`, nil, "boolean", ""},
	{"tags", `["a",7]`, &ticketv1.Ticket{Tags: []string{"a", "7"}}, "list with a number", ""},
	{"tags", `[false]`, &ticketv1.Ticket{Tags: []string{"false"}}, "list with a boolean", ""},
	{"tags", `["a", null]`, nil, "list with null", ""},
	{"tags", `[1, ["a"]]`, nil, "list with a list", ""},
	{"tags", `["a",{"b":1}]`, nil, "list with an object", ""},
	{"tags", `{"0":"a","2":"b"}`, &ticketv1.Ticket{Tags: []string{"a", "b"}}, "object with the keys of a list", ""},
	{"tags", `{"2":"b","0":"a"}`, &ticketv1.Ticket{Tags: []string{"b", "a"}}, "object with the keys of a list", ""},
	{"tags", `{"0":"a","b":"c"}`, nil, "object", ""},
	{"tags", `{"0":"a","1":null}`, nil, "object with the keys of a list", ""},
	{"tags", `["a", "\ud800"]`, &ticketv1.Ticket{Tags: []string{"a", "\ufffd"}}, "string that UTF-8 can't hold", `["a", "\ud800"]`},
	{"channels", `"a"`, &ticketv1.Ticket{Channels: []string{"a"}}, "string", ""},
	{"channels", `{"3":1}`, &ticketv1.Ticket{Channels: []string{"1"}}, "object with the keys of a list", ""},
	{"labels", `{"id":"l1","key":"k"}`, &ticketv1.Ticket{LabelIds: []string{"l1"}}, "object", ""},
	{"labels", `"l1"`, &ticketv1.Ticket{LabelIds: []string{"l1"}}, "string", ""},
	{"labels", `[{"id":"l1"},{"$oid":"l2"}]`, &ticketv1.Ticket{LabelIds: []string{"l1", "l2"}}, "", ""},
	{"labels", `[1,2,3]`, &ticketv1.Ticket{LabelIds: []string{"1", "2", "3"}}, "list with a number", ""},
	{"labels", `["a",null]`, nil, "list with null", ""},
	{"labels", `["a",{}]`, nil, "list with an object", ""},
	{"labels", `["a",[]]`, nil, "list with a list", ""},
	{"labels", `["a",true]`, nil, "list with a boolean", ""},
	{"labels", `{"id":"\ud800","x":1}`, nil, "value that is no id", `["\ud800"]`},
	{"labels", `["l1", "l\u00002"]`, nil, "value that is no id", ""},
	{"labels", `["l\u00002", null]`, nil, "list with null", ""},
	{"labels", `[null, "l\u00002"]`, nil, "list with null", ""},
	{"files", `[{"id":"f1","name":"n"}, {"id":"f\u200b2","name":"n"}]`, nil, "value that is no id", `["f1","f\u200b2"]`},
	{"files", `{"1":{"id":"f\u20662"}}`, nil, "value that is no id", `["f\u20662"]`},
	{"files", `{"0":{"id":"f1"},"4":"f2"}`, &ticketv1.Ticket{FileIds: []string{"f1", "f2"}}, "object with the keys of a list", ""},
	{"files", `[{"name":"n"}]`, nil, "list with an object", ""},

	{"commentCount", `"4"`, &ticketv1.Ticket{CommentCount: 4}, "string", ""},
	{"commentCount", `4.0`, nil, "number that is no integer of 32 bits", ""},
	{"commentCount", `1e2`, nil, "number that is no integer of 32 bits", ""},
	{"commentCount", `2147483648`, nil, "number that is no integer of 32 bits", ""},
	{"commentCount", `"+4"`, nil, "string that is no integer of 32 bits", ""},
	{"commentCount", `"1_0"`, nil, "string that is no integer of 32 bits", ""},
	{"commentCount", `""`, nil, "string that is no integer of 32 bits", ""},
	{"commentCount", `[]`, nil, "list", ""},
	{"commentCount", `true`, nil, "boolean", ""},

	{"createdAt", `1772438400`, &ticketv1.Ticket{CreateTime: date(2026, 3, 2, 8, 0, 0, 0)}, "number", ""},
	{"createdAt", `"2026-03-02"`, &ticketv1.Ticket{CreateTime: date(2026, 3, 2, 0, 0, 0, 0)}, "date without a time", ""},
	{"updatedAt", `{"$date":"2026-03-02T08:00:00Z"}`, &ticketv1.Ticket{UpdateTime: date(2026, 3, 2, 8, 0, 0, 0)}, "object with a date", ""},
	{"updatedAt", `"yesterday"`, nil, "string that is no date", ""},
	{"lastStatusUpdate", `""`, &ticketv1.Ticket{}, "empty string", ""},
	{"lastStatusUpdate", `"-0001-11-30T00:00:00+00:00"`, &ticketv1.Ticket{}, "zero date", ""},
	{"lastStatusUpdate", `["2026-03-02"]`, nil, "list", ""},

	{"customSettings", `{}`, &ticketv1.Ticket{}, "", ""},
	{"customSettings", `[]`, &ticketv1.Ticket{}, "", ""},
	{"customSettings", `{"requesterName":"N","n": 1.0,"list":[ 1 ],"none":null,"":"x","token":"s3cret"}`, settings(
		text("requesterName", "N"), exactly("n", "1.0"), exactly("list", "[ 1 ]"), &ticketv1.CustomSetting{Key: "none"}, text("", "x")), "", ""},
	{"customSettings", `{"key":"k","type":"t","value":"v","x":1}`, settings(&ticketv1.CustomSetting{Key: "k", Type: "t",
		SettingValue: &ticketv1.CustomSetting_Value{Value: "v"}, Attributes: map[string]string{"x": "1"}}), "object", ""},
	{"customSettings", `{"key":"k"}`, settings(text("key", "k")), "", ""},
	{"customSettings", `{"key":"k","room":"r"}`, settings(text("key", "k"), text("room", "r")), "", ""},
	{"customSettings", `{"key":{"a":1},"value":"v"}`, settings(exactly("key", `{"a":1}`), text("value", "v")), "", ""},
	{"customSettings", `{"0":{"key":"a","value":"1"},"2":{"key":"b"}}`, settings(text("a", "1"), &ticketv1.CustomSetting{Key: "b"}),
		"object with the keys of a list", ""},
	{"customSettings", `{"12":"a","13":{"b":1}}`, settings(text("12", "a"), exactly("13", `{"b":1}`)), "", ""},
	{"customSettings", `{"12":{"b":1},"13":{"key":"k"}}`, settings(exactly("12", `{"b":1}`), exactly("13", `{"key":"k"}`)), "", ""},
	{"customSettings", `[{"key":1,"value":"v"}]`, settings(text("1", "v")), "setting whose key or type is no string", ""},
	{"customSettings", `[{"key":"k","type":true}]`, settings(&ticketv1.CustomSetting{Key: "k", Type: "true"}),
		"setting whose key or type is no string", ""},
	{"customSettings", `[{"key":"k"},{"type":[]}]`, nil, "setting whose key or type is no string", ""},
	{"customSettings", `[{"key":"k"},{"key":"l"},"a"]`, nil, "list with a string", ""},
	{"customSettings", `[{"key":"k"},null,null]`, nil, "list with null", ""},
	{"customSettings", `"a"`, nil, "string", ""},
	{"customSettings", `1`, nil, "number", ""},
	{"customSettings", `{"a":"\ud800"}`, settings(text("a", "\ufffd")), "string that UTF-8 can't hold", `{"a":"\ud800"}`},
	{"customSettings", `{"\ud800":"a"}`, settings(text("\ufffd", "a")), "string that UTF-8 can't hold", `{"\ud800":"a"}`},
	{"customSettings", `[{"key":"k","\ud800":1}]`, settings(&ticketv1.CustomSetting{Key: "k",
		Attributes: map[string]string{"\ufffd": "1"}}), "string that UTF-8 can't hold", `[{"key":"k","\ud800":1}]`},
}

// embeddedForms are the fieldForms whose expected ticket is different in _embedded.
var embeddedForms = []struct {
	field, value string
	want         *ticketv1.Ticket
	form         string
	exact        string
}{
	{"property", `{"id":"p1","name":"P"}`, &ticketv1.Ticket{PropertyId: "p1"}, "", ""},
	{"property", `"p1"`, &ticketv1.Ticket{PropertyId: "p1"}, "", ""},
	{"property", `{"name":"P"}`, nil, "object", ""},
	{"property", `[]`, &ticketv1.Ticket{}, "empty list", ""},
	{"property", `[1,2,3]`, nil, "list", ""},
	{"unit", `{"name":"3.02"}`, &ticketv1.Ticket{UnitName: "3.02"}, "", ""},
	{"unit", `{"name":3.02}`, &ticketv1.Ticket{UnitName: "3.02"}, "number", ""},
	{"unit", `"3.02"`, &ticketv1.Ticket{UnitName: "3.02"}, "", ""},
	{"unit", `3.02`, &ticketv1.Ticket{UnitName: "3.02"}, "number", ""},
	{"unit", `[]`, &ticketv1.Ticket{}, "empty list", ""},
	{"unit", `{"id":"x"}`, nil, "object", ""},
	{"unit", `{"id":"x","name":{"de":"n"}}`, nil, "object", `{"de":"n"}`},
	{"unit", `["a"]`, nil, "list", ""},
}

func settings(list ...*ticketv1.CustomSetting) *ticketv1.Ticket {
	return &ticketv1.Ticket{CustomSettings: list}
}

func text(key, value string) *ticketv1.CustomSetting {
	return &ticketv1.CustomSetting{Key: key, SettingValue: &ticketv1.CustomSetting_Value{Value: value}}
}

func exactly(key, json string) *ticketv1.CustomSetting {
	return &ticketv1.CustomSetting{Key: key, SettingValue: &ticketv1.CustomSetting_ValueJson{ValueJson: json}}
}

// positions are the positions in event.data where a field can have a value, each with its label in a finding. FIELD, VALUE and OLD are
// replaced.
var positions = map[string]struct{ data, label string }{
	"data":                      {`{"id":"t1","FIELD":VALUE}`, "data"},
	"data, with an escaped key": {`{"id":"t1","\u0046IELD":VALUE}`, "data"},
	"data.ticket":               {`{"ticket":{"id":"t1","FIELD":VALUE}}`, "data.ticket"},
	"delta":                     {`{"id":"t1","delta":{"FIELD":VALUE}}`, "data.delta"},
	"delta, old/new":            {`{"id":"t1","delta":{"FIELD":{"old":OLD,"new":VALUE}}}`, "data.delta"},
	"delta, from/to":            {`{"id":"t1","delta":{"FIELD":{"to":VALUE,"from":OLD}}}`, "data.delta"},
	"delta, before/after":       {`{"id":"t1","delta":{"FIELD":{"before":OLD,"after":VALUE}}}`, "data.delta"},
	"delta, oldValue/newValue":  {`{"id":"t1","delta":{"FIELD":{"oldValue":OLD,"newValue":VALUE}}}`, "data.delta"},
	"delta, previous/current":   {`{"id":"t1","delta":{"FIELD":{"previous":OLD,"current":VALUE}}}`, "data.delta"},
	"a list of two":             {`{"id":"t1","delta":{"FIELD":[OLD,VALUE]}}`, "data.delta"},
	"a list of changes":         {`{"id":"t1","delta":[{"field":"FIELD","old":OLD,"new":VALUE}]}`, "data.delta"},
	"a list of changes, from/to": {
		`{"id":"t1","delta":[{"field":"title"},{"from":OLD,"to":VALUE,"field":"FIELD"}]}`, "data.delta"},
	"a list of values":   {`{"id":"t1","delta":[{"field":"FIELD","value":VALUE}]}`, "data.delta"},
	"a patch":            {`{"id":"t1","delta":[{"op":"replace","path":"/FIELD","value":VALUE}]}`, "data.delta"},
	"a patch that adds":  {`{"id":"t1","delta":[{"value":VALUE,"path":"\/FIELD","op":"add"}]}`, "data.delta"},
	"the last of two":    {`{"id":"t1","delta":[{"op":"remove","path":"/FIELD"},{"op":"add","path":"FIELD","value":VALUE}]}`, "data.delta"},
	"_embedded":          {`{"id":"t1","_embedded":{"FIELD":VALUE}}`, "data._embedded"},
	"ticket's _embedded": {`{"ticket":{"id":"t1","_embedded":{"FIELD":VALUE}}}`, "data.ticket._embedded"},
	"delta's _embedded":  {`{"id":"t1","delta":{"_embedded":{"FIELD":VALUE}}}`, "data.delta._embedded"},
	"changed _embedded":  {`{"id":"t1","delta":{"_embedded":{"FIELD":{"before":OLD,"after":VALUE}}}}`, "data.delta._embedded"},
	"_embedded in a patch": {
		`{"id":"t1","delta":[{"op":"add","path":"/_embedded","value":{"FIELD":VALUE}}]}`, "data.delta._embedded"},
}

func TestMap_readsEveryFormOfAField(t *testing.T) {
	t.Parallel()
	isEmbedded := map[string]bool{"assignedTo": true, "category": true, "createdBy": true, "files": true, "labels": true}
	for position, where := range positions {
		for _, test := range fieldForms {
			if isPairOfList := strings.Contains(where.data, "[OLD,VALUE]"); isPairOfList && !readsAsPair(test.field, test.value) {
				continue
			}
			if strings.Contains(where.data, `"FIELD":{`) && test.field == "customSettings" && !strings.ContainsAny(test.value[:1], "[{") {
				continue // Such a change could be two settings.
			}
			if inEmbedded := strings.Contains(where.label, "_embedded"); !inEmbedded || isEmbedded[test.field] {
				checkForm(t, position, test.field, test.value, test.want, test.form, test.exact, test.field)
			}
		}
		if strings.Contains(where.label, "_embedded") {
			for _, test := range embeddedForms {
				checkForm(t, position, test.field, test.value, test.want, test.form, test.exact, "_embedded."+test.field)
			}
		}
	}
}

// readsAsPair reports whether a list of two values, the second of them value, is a change of the field. In a list field, the list is a
// change if the value can't be an element.
func readsAsPair(field, value string) bool {
	switch field {
	case "channels", "files", "labels", "tags":
		return value[0] == '[' || value == "{}" || strings.HasPrefix(value, `{"0":`) && !strings.Contains(value, `"b":`) ||
			strings.HasPrefix(value, `{"2":`) || strings.HasPrefix(value, `{"3":`)
	case "customSettings":
		return value[0] == '[' || value[0] == '{'
	default:
		return true
	}
}

func checkForm(t *testing.T, position, field, value string, want *ticketv1.Ticket, form, exact, key string) {
	t.Helper()
	t.Run(position+": "+field+" "+value, func(t *testing.T) {
		t.Parallel()
		where := positions[position]
		old := "null"
		if field == "customSettings" || field == "tags" || field == "channels" || field == "labels" || field == "files" {
			old = "[]"
		}
		data := strings.NewReplacer("FIELD", field, `\u0046IELD`,
			`\u00`+hexOf(field[0])+field[1:], "VALUE", value, "OLD", old).Replace(where.data)
		result, err := event.Map(bodyWith("ticket.updated", data), receiveTime, tolerance)
		if err != nil {
			t.Fatalf("Map(%s): %v", data, err)
		}
		ticket := result.Updated.GetTicket()
		ticket.TicketId = ""
		delete(ticket.Attributes, "delta")
		delete(ticket.Attributes, "_embedded.category")
		delete(ticket.Attributes, "_embedded.files")
		if len(ticket.Attributes) == 0 {
			ticket.Attributes = nil
		}
		kept := exact != "" || want == nil
		wanted := &ticketv1.Ticket{}
		if want != nil {
			wanted = proto.CloneOf(want)
		}
		if kept {
			if exact == "" {
				exact = value
			}
			wanted.Attributes = map[string]string{key: exact}
		}
		if diff := cmp.Diff(wanted, ticket, protocmp.Transform()); diff != "" {
			t.Errorf("ticket of %s (-want +got):\n%s", data, diff)
		}
		found := finding(where.label+"."+field, form, kept)
		if len(found) == 1 && !containsFinding(result, found[0]) || len(found) == 0 && len(result.Findings) > 0 &&
			result.Findings[len(result.Findings)-1].Field != "data.delta" {
			t.Errorf("findings of %s: %v, want %v", data, result.Findings, found)
		}
		if len(result.Updated.GetFieldMask().GetPaths()) == 0 || result.Updated.GetElementChangeMask() != nil {
			t.Errorf("masks of %s: %v, %v", data, result.Updated.GetFieldMask(), result.Updated.GetElementChangeMask())
		}
	})
}

func hexOf(letter byte) string { return hex.EncodeToString([]byte{letter}) }
