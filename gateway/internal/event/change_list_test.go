package event_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/ticketbridge/ticketbridge/gateway/internal/event"
	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
)

func attributes(namesAndValues ...string) *ticketv1.Ticket {
	ticket := &ticketv1.Ticket{Attributes: map[string]string{}}
	for i := 0; i < len(namesAndValues); i += 2 {
		ticket.Attributes[namesAndValues[i]] = namesAndValues[i+1]
	}
	return ticket
}

func TestMap_elementChanges(t *testing.T) {
	t.Parallel()
	const inList = "list of changes"
	tests := map[string]struct {
		data     string
		want     *ticketv1.Ticket
		mask     string
		elements string
		found    []event.Finding
	}{
		"removed and added": {
			`"delta":{"labels":{"removed": ["a"],"added":["b"]}}`, attributes("labels", `{"removed": ["a"],"added":["b"]}`),
			"attributes,label_ids", "label_ids", finding("data.delta.labels", "element change", true)},
		"removed alone": {
			`"delta":{"tags":{"removed":["a"]}}`, attributes("tags", `{"removed":["a"]}`),
			"attributes,tags", "tags", finding("data.delta.tags", "element change", true)},
		"added alone": {
			`"delta":{"channels":{"added":["a"]}}`, attributes("channels", `{"added":["a"]}`),
			"attributes,channels", "channels", finding("data.delta.channels", "element change", true)},
		"added to nothing": {
			`"delta":{"files":{"removed":null,"added":[{"id":"f"}]}}`, attributes("files", `{"removed":null,"added":[{"id":"f"}]}`),
			"attributes,file_ids", "file_ids", finding("data.delta.files", "element change", true)},
		"lists in PHP's form": {
			`"delta":{"files":{"removed":{},"added":{"3":"f"}}}`, attributes("files", `{"removed":{},"added":{"3":"f"}}`),
			"attributes,file_ids", "file_ids", finding("data.delta.files", "element change", true)},
		"settings": {
			`"delta":{"customSettings":{"added":[{"key":"k"}]}}`, attributes("customSettings", `{"added":[{"key":"k"}]}`),
			"attributes,custom_settings", "custom_settings", finding("data.delta.customSettings", "element change", true)},
		"settings as objects": {
			`"delta":{"customSettings":{"added":{"k":"v"},"removed":[]}}`, attributes("customSettings", `{"added":{"k":"v"},"removed":[]}`),
			"attributes,custom_settings", "custom_settings", finding("data.delta.customSettings", "element change", true)},
		"a list that is not modelled": {
			`"delta":{"channelPaths":{"added":[["a"]]}}`, attributes("channelPaths", `{"added":[["a"]]}`),
			"attributes", "", finding("data.delta.channelPaths", "element change", true)},
		"in _embedded": {
			`"delta":{"_embedded":{"labels":{"added":[{"id":"l"}]}}}`, attributes("labels", `{"added":[{"id":"l"}]}`),
			"attributes,label_ids", "label_ids", finding("data.delta._embedded.labels", "element change", true)},
		"the full list beside it does not count": {
			`"delta":{"labels":{"added":["b"]}},"labels":["a"]`, attributes("labels", `{"added":["b"]}`),
			"attributes,label_ids", "label_ids", finding("data.delta.labels", "element change", true)},
		"two fields": {
			`"delta":{"labels":{"added":["b"]},"tags":{"added":["b"]}}`, attributes("labels", `{"added":["b"]}`, "tags", `{"added":["b"]}`),
			"attributes,label_ids,tags", "label_ids,tags", append(finding("data.delta.labels", "element change", true),
				finding("data.delta.tags", "element change", true)...)},
		"outside the delta it is no change": {
			`"labels":{"added":["b"]}`, attributes("labels", `{"added":["b"]}`), "attributes,label_ids", "", finding("data.labels", "object", true)},

		"in a list of changes": {
			`"delta":[{"field":"labels","added":["b"]}]`, attributes("labels", `[{"field":"labels","added":["b"]}]`), "attributes,label_ids",
			"label_ids", append(finding("data.delta", inList, false), finding("data.delta.labels", "element change", true)...)},
		"patches of elements": {
			`"delta":[{"op":"add","path":"/tags/-","value":"a"}, {"op":"remove","path":"\/tags\/0"}]`,
			attributes("tags", `[{"op":"add","path":"/tags/-","value":"a"},{"op":"remove","path":"\/tags\/0"}]`), "attributes,tags", "tags",
			append(finding("data.delta", inList, false), finding("data.delta.tags", "element change", true)...)},
		"a patch within settings": {
			`"delta":[{"op":"replace","path":"/customSettings/requesterName","value":"N"}]`,
			attributes("customSettings", `[{"op":"replace","path":"/customSettings/requesterName","value":"N"}]`),
			"attributes,custom_settings", "custom_settings",
			append(finding("data.delta", inList, false), finding("data.delta.customSettings", "element change", true)...)},
		"a full list, then an element": {
			`"delta":[{"op":"replace","path":"/tags","value":["a"]},{"op":"add","path":"/tags/-","value":"b"}]`,
			attributes("tags", `[{"op":"replace","path":"/tags","value":["a"]},{"op":"add","path":"/tags/-","value":"b"}]`),
			"attributes,tags", "tags", append(finding("data.delta", inList, false), finding("data.delta.tags", "element change", true)...)},
		"an element, then a full list": {
			`"delta":[{"op":"add","path":"/tags/-","value":"b"},{"op":"replace","path":"/tags","value":["a"]}]`,
			&ticketv1.Ticket{Tags: []string{"a"}}, "tags", "", finding("data.delta", inList, false)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, eventName := range []string{"ticket.updated", "ticket.created"} {
				result, err := event.Map(bodyWith(eventName, `{"id":"t1",`+test.data+`}`), receiveTime, tolerance)
				if err != nil {
					t.Fatalf("Map: %v", err)
				}
				ticket, elements := result.Updated.GetTicket(), result.Updated.GetElementChangeMask().GetPaths()
				if eventName == "ticket.created" {
					ticket, elements = result.Created.GetTicket(), result.Created.GetElementChangeMask().GetPaths()
				} else if diff := cmp.Diff(splitMask(test.mask), result.Updated.GetFieldMask().GetPaths()); diff != "" {
					t.Errorf("mask (-want +got):\n%s", diff)
				}
				ticket.TicketId, ticket.CreateTime = "", nil
				if diff := cmp.Diff(test.want, ticket, protocmp.Transform()); diff != "" {
					t.Errorf("ticket (-want +got):\n%s", diff)
				}
				if got := strings.Join(elements, ","); got != test.elements {
					t.Errorf("element_change_mask = %q, want %q", got, test.elements)
				}
				wantForms(t, result, test.found...)
			}
		})
	}
}

func TestMap_listOfChanges(t *testing.T) {
	t.Parallel()
	const unread = "list with changes that can't be read in full"
	tests := map[string]struct {
		delta string
		want  *ticketv1.Ticket
		mask  string
		form  string
	}{
		"several": {`[{"field":"title","old":"a","new":"b"},{"field":"status","from":"x","to":"y"}]`,
			&ticketv1.Ticket{Title: "b", StatusText: "y"}, "status_text,title", ""},
		"a patch of each": {`[{"op":"remove","path":"/title"},{"op":"add","path":"/tags","value":["a"]}]`,
			&ticketv1.Ticket{Tags: []string{"a"}}, "tags,title", ""},
		"only old clears":     {`[{"field":"title","old":"a"}]`, &ticketv1.Ticket{}, "title", ""},
		"the last one counts": {`[{"field":"title","new":"a"},{"field":"title","new":"b"}]`, &ticketv1.Ticket{Title: "b"}, "title", ""},
		"old and value":       {`[{"field":"title","old":"a","value":"b"}]`, &ticketv1.Ticket{Title: "b"}, "title", ""},
		"a value as a pair":   {`[{"field":"title","value":["a","b"]}]`, &ticketv1.Ticket{Title: "b"}, "title", ""},
		"an escaped path":     {`[{"op":"add","path":"/a~1b~0","value":1}]`, attributes("a/b~", "1"), "attributes", ""},
		"an unknown field":    {`[{"field":"x","old":1,"new":{"a": 2.0}}]`, attributes("x", `{"a": 2.0}`), "attributes", ""},
		"ids are no fields": {`[{"field":"id","new":"x"},{"field":"ticketId","new":"x"},{"field":"title","new":"b"}]`,
			&ticketv1.Ticket{Title: "b"}, "title", ""},
		"_embedded": {`[{"field":"_embedded","old":{},"new":{"unit":{"name":"n"}}}]`, &ticketv1.Ticket{UnitName: "n"}, "unit_name", ""},
		"a new value that can't be typed": {`[{"field":"commentCount","new": 1.5}]`, attributes("commentCount", "1.5"),
			"attributes,comment_count", ""},
		"more in a change": {`[{"field":"title","new":"b","by":"u"}]`,
			&ticketv1.Ticket{Title: "b", Attributes: map[string]string{"delta": `[{"field":"title","new":"b","by":"u"}]`}},
			"attributes,title", unread},
		"field and path": {`[{"field":"title","path":"/x","new":"b"}]`,
			&ticketv1.Ticket{Title: "b", Attributes: map[string]string{"delta": `[{"field":"title","path":"/x","new":"b"}]`}},
			"attributes,title", unread},
		"a list of only old": {`[{"field":"tags","old":["a"]}]`, attributes("tags", `[{"field":"tags","old":["a"]}]`), "attributes,tags", ""},
	}
	for name, entry := range map[string]string{
		"a string": `"status"`, "a number": `7`, "null": `null`, "a list": `["title","a"]`, "an empty object": `{}`,
		"no field":                          `{"old":1,"new":2}`,
		"no value":                          `{"field":"title"}`,
		"a patch without a value":           `{"op":"add","path":"/title"}`,
		"an unknown operation":              `{"op":"move","from":"/title","path":"/description"}`,
		"a test":                            `{"op":"test","path":"/title","value":"a"}`,
		"an operation that is no string":    `{"op":1,"path":"/title","value":"a"}`,
		"the whole document":                `{"op":"replace","path":"","value":{"title":"a"}}`,
		"a path within a field":             `{"op":"replace","path":"/assignedTo/id","value":"u"}`,
		"a path within an unknown field":    `{"op":"replace","path":"/x/0","value":"u"}`,
		"a field that is no string":         `{"field":["title"],"new":"a"}`,
		"a field that UTF-8 can't hold":     `{"field":"\ud800","new":"a"}`,
		"the delta itself":                  `{"field":"delta","new":{"title":"a"}}`,
		"data.ticket":                       `{"op":"add","path":"/ticket","value":{"title":"a"}}`,
		"elements of an unknown field":      `{"field":"x","removed":[1],"added":[2]}`,
		"the pairs of two kinds, no values": `{"field":"title","by":1}`,
	} {
		tests[name+" beside a change"] = struct {
			delta string
			want  *ticketv1.Ticket
			mask  string
			form  string
		}{`[{"field":"title","new":"b"}, ` + entry + `]`,
			&ticketv1.Ticket{Title: "b", Attributes: map[string]string{"delta": "[" + entry + "]"}}, "attributes,title", unread}
		t.Run(name+" alone is dead", func(t *testing.T) {
			t.Parallel()
			_, err := event.Map(bodyWith("ticket.updated", `{"id":"t1","delta":[`+entry+`]}`), receiveTime, tolerance)
			if reason := reasonOf(t, err); reason != "data.delta: list in which no change can be read" {
				t.Errorf("reason = %q", reason)
			}
		})
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			diffTicket(t, `"delta":`+test.delta, test.want, splitMask(test.mask)...)
			result := mustEvent(t, bodyWith("ticket.updated", `{"id":"t1","delta":`+test.delta+`}`))
			want := event.Finding{Field: "data.delta", Form: "list of changes"}
			if test.form != "" {
				want = event.Finding{Field: "data.delta", Form: test.form, Kept: true}
			}
			if !containsFinding(result, want) {
				t.Errorf("findings %v, want %v among them", result.Findings, want)
			}
		})
	}
}

// A change of the access token is kept nowhere, in no form.
func TestMap_dropsAChangeOfTheToken(t *testing.T) {
	t.Parallel()
	entries := []string{
		`{"op":"replace","path":"/token","value":"s3cret"}`, `{"op":"add","path":"\/ticket\/token","value":"s3cret"}`,
		`{"op":"add","path":"/token/0","value":"s3cret"}`, `{"op":"x","path":["token"],"value":"s3cret"}`,
		`{"field":"t\u006fken","value":"s3cret"}`, `{"property":"token","value":"s3cret"}`, `{"field":"ticket.token","new":"s3cret"}`,
	}
	for _, pair := range [][2]string{{"old", "new"}, {"from", "to"}, {"before", "after"}, {"oldValue", "newValue"}, {"previous", "current"},
		{"removed", "added"}} {
		entries = append(entries, `{"field":"token","`+pair[0]+`":"s3cret","`+pair[1]+`":"s3cret"}`,
			`{"`+pair[1]+`":{"token":"s3cret","x":"s3cret"},"field":"token"}`)
	}
	for _, entry := range entries {
		for name, data := range map[string]string{
			"among others": `{"id":"t1","delta":[{"field":"title","new":"b"},` + entry + `,{"x":1}]}`,
			"alone":        `{"id":"t1","delta":[` + entry + `]}`,
		} {
			body := bodyWith("ticket.updated", data)
			if redacted := event.Redact(body); strings.Contains(string(redacted), "s3cret") {
				t.Errorf("%s %s: Redact leaves %s", entry, name, redacted)
			}
			if wire := mustMarshal(t, mustEvent(t, body)); strings.Contains(string(wire), "s3cret") {
				t.Errorf("%s %s: the token is in the request", entry, name)
			}
		}
	}
}

func TestMap_partsInAnotherForm(t *testing.T) {
	t.Parallel()
	const urn = "urn:allthings:app:a:ticket:c:t1"
	tests := map[string]struct {
		data  string
		want  *ticketv1.Ticket
		found []event.Finding
	}{
		"no data":            {``, &ticketv1.Ticket{}, finding("data", "missing", false)},
		"data: null":         {`null`, &ticketv1.Ticket{}, finding("data", "null", false)},
		"data: empty list":   {`[ ]`, &ticketv1.Ticket{}, finding("data", "empty list", false)},
		"data: list":         {`[ 1]`, attributes("data", "[ 1]"), finding("data", "list", true)},
		"data: string":       {`"x"`, attributes("data", `"x"`), finding("data", "string", true)},
		"data: number":       {`1.0`, attributes("data", `1.0`), finding("data", "number", true)},
		"_embedded: empty":   {`{"_embedded":[]}`, &ticketv1.Ticket{}, finding("data._embedded", "empty list", false)},
		"_embedded: list":    {`{"_embedded":[{"unit":1}]}`, attributes("_embedded", `[{"unit":1}]`), finding("data._embedded", "list", true)},
		"_embedded: number":  {`{"_embedded":0}`, attributes("_embedded", `0`), finding("data._embedded", "number", true)},
		"_embedded in delta": {`{"delta":{"_embedded":"x"}}`, attributes("_embedded", `"x"`), finding("data.delta._embedded", "string", true)},
		"_embedded in ticket": {`{"ticket":{"_embedded":true}}`,
			attributes("_embedded", `true`), finding("data.ticket._embedded", "boolean", true)},
		"_embedded, cleared": {`{"delta":{"_embedded":{"old":{},"new":null}}}`,
			&ticketv1.Ticket{}, finding("data.delta._embedded", "null", false)},
		"ticket: empty list":   {`{"ticket":[]}`, &ticketv1.Ticket{}, finding("data.ticket", "empty list", false)},
		"ticket: string":       {`{"ticket":"t1"}`, attributes("ticket", `"t1"`), finding("data.ticket", "string", true)},
		"ticket: list":         {`{"ticket":[{"id":1}]}`, attributes("ticket", `[{"id":1}]`), finding("data.ticket", "list", true)},
		"delta: empty list":    {`{"delta":[]}`, &ticketv1.Ticket{}, finding("data.delta", "empty list", false)},
		"delta in the delta":   {`{"delta":{"delta":{"title":"a"}}}`, attributes("delta", `{"title":"a"}`), nil},
		"ticket in the delta":  {`{"delta":{"ticket":{"title":"a"}}}`, attributes("ticket", `{"title":"a"}`), nil},
		"ticket in the ticket": {`{"ticket":{"ticket":1,"delta":2}}`, attributes("ticket", "1", "delta", "2"), nil},
		"an id that is none":   {`{"id":[1],"ticketId":{"x":1}}`, attributes("id", "[1]", "ticketId", `{"x":1}`), nil},
		"an unusable id":       {`{"id":true,"delta":{"id":1.5}}`, attributes("id", "1.5"), nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := `{"event":{"id":"e1","name":"ticket.updated","createdDate":"2026-03-02T08:00:00Z","urn":"` + urn + `"`
			if test.data != "" {
				body += `,"data":` + test.data
			}
			result := mustEvent(t, []byte(body+"}}"))
			test.want.TicketId, test.want.AppId = "t1", "a"
			if diff := cmp.Diff(test.want, result.Updated.GetTicket(), protocmp.Transform()); diff != "" {
				t.Errorf("ticket (-want +got):\n%s", diff)
			}
			wantForms(t, result, test.found...)
		})
	}
}

// The ticket of a ticket.created is event.data. A delta does not count.
func TestMap_createdWithAnUnreadableDelta(t *testing.T) {
	t.Parallel()
	for delta, form := range map[string]string{`"x"`: "string", `[1]`: "list with changes that can't be read in full"} {
		result := mustEvent(t, bodyWith("ticket.created", `{"id":"t1","title":"a","delta":`+delta+`}`))
		if ticket := result.Created.GetTicket(); ticket.GetTitle() != "a" || ticket.GetAttributes()["delta"] != delta {
			t.Errorf("ticket = %v", ticket)
		}
		wantForms(t, result, finding("data.delta", form, true)...)
	}
}

func TestMap_findingsCostNothingInTheDocumentedForm(t *testing.T) {
	t.Parallel()
	for name := range corpusRequests() {
		if result := mustEvent(t, mustReadCorpus(t, name)); result.Findings != nil && !strings.Contains(name, "live-forms") {
			t.Errorf("%s: %v", name, result.Findings)
		}
	}
}
