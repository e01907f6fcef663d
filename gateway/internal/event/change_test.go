package event_test

import (
	"testing"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
)

func TestMap_readsEveryFormOfAChange(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		delta string
		want  *ticketv1.Ticket
		mask  string
	}{
		"text: plain":             {`"title":"b"`, &ticketv1.Ticket{Title: "b"}, "title"},
		"text: null":              {`"title":null`, &ticketv1.Ticket{}, "title"},
		"text: old/new":           {`"title":{"old":"a","new":"b"}`, &ticketv1.Ticket{Title: "b"}, "title"},
		"text: new/old":           {`"title":{"new":"b","old":"a"}`, &ticketv1.Ticket{Title: "b"}, "title"},
		"text: from/to":           {`"title":{"from":"a","to":"b"}`, &ticketv1.Ticket{Title: "b"}, "title"},
		"text: before/after":      {`"title":{"before":"a","after":"b"}`, &ticketv1.Ticket{Title: "b"}, "title"},
		"text: removed/added":     {`"title":{"removed":"a","added":"b"}`, &ticketv1.Ticket{Title: "b"}, "title"},
		"text: oldValue/newValue": {`"title":{"oldValue":"a","newValue":"b"}`, &ticketv1.Ticket{Title: "b"}, "title"},
		"text: previous/current":  {`"title":{"previous":"a","current":"b"}`, &ticketv1.Ticket{Title: "b"}, "title"},
		"text: keys of two pairs": {`"title":{"old":"a","to":"b"}`,
			&ticketv1.Ticket{Attributes: map[string]string{"title": `{"old":"a","to":"b"}`}}, "attributes,title"},
		"text: a third key": {`"title":{"old":"a","new":"b","by":"c"}`,
			&ticketv1.Ticket{Attributes: map[string]string{"title": `{"old":"a","new":"b","by":"c"}`}}, "attributes,title"},
		"text: a list of three": {`"title":["a","b","c"]`,
			&ticketv1.Ticket{Attributes: map[string]string{"title": `["a","b","c"]`}}, "attributes,title"},
		"text: new is a list": {`"title":{"old":"a","new":["b"]}`,
			&ticketv1.Ticket{Attributes: map[string]string{"title": `["b"]`}}, "attributes,title"},
		"text: only new":               {`"title":{"new":"b"}`, &ticketv1.Ticket{Title: "b"}, "title"},
		"text: only old":               {`"title":{"old":"a"}`, &ticketv1.Ticket{}, "title"},
		"text: new is null":            {`"title":{"old":"a","new":null}`, &ticketv1.Ticket{}, "title"},
		"text: escaped keys":           {`"title":{"\u006fld":"a","n\u0065w":"b"}`, &ticketv1.Ticket{Title: "b"}, "title"},
		"text: a list of two":          {`"title":["a","b"]`, &ticketv1.Ticket{Title: "b"}, "title"},
		"text: a list of two, cleared": {`"title":["a", null]`, &ticketv1.Ticket{}, "title"},
		"text: a lone surrogate is new": {`"title":["a", "\ud800"]`,
			&ticketv1.Ticket{Title: "\ufffd", Attributes: map[string]string{"title": `"\ud800"`}}, "attributes,title"},
		"id: from null": {`"assignedTo":{"old":null,"new":"u1"}`, &ticketv1.Ticket{AssigneeId: "u1"}, "assignee_id"},
		"id: users": {`"assignedTo":{"old":{"id":"u1","email":"e"},"new":{"id":"u2","email":"e"}}`,
			&ticketv1.Ticket{AssigneeId: "u2"}, "assignee_id"},
		"id: a list of two users": {`"assignedTo":[{"id":"u1"},{"id":"u2"}]`, &ticketv1.Ticket{AssigneeId: "u2"}, "assignee_id"},
		"id: only old":            {`"assignedTo":{"removed":"u1"}`, &ticketv1.Ticket{}, "assignee_id"},
		"number: a list of two":   {`"commentCount":[1,2]`, &ticketv1.Ticket{CommentCount: 2}, "comment_count"},
		"date: from/to": {`"updatedAt":{"from":null,"to":"2026-03-02T08:00:00Z"}`,
			&ticketv1.Ticket{UpdateTime: date(2026, 3, 2, 8, 0, 0, 0)}, "update_time"},
		"list: plain":    {`"labels":["a","b"]`, &ticketv1.Ticket{LabelIds: []string{"a", "b"}}, "label_ids"},
		"list: empty":    {`"labels":[]`, &ticketv1.Ticket{}, "label_ids"},
		"list: null":     {`"labels":null`, &ticketv1.Ticket{}, "label_ids"},
		"list: old/new":  {`"labels":{"old":["a"],"new":["a","b"]}`, &ticketv1.Ticket{LabelIds: []string{"a", "b"}}, "label_ids"},
		"list: only new": {`"labels":{"new":["b"]}`, &ticketv1.Ticket{LabelIds: []string{"b"}}, "label_ids"},
		"list: only old": {`"labels":{"old":["a"]}`,
			&ticketv1.Ticket{Attributes: map[string]string{"labels": `{"old":["a"]}`}}, "attributes,label_ids"},
		"list: new is null": {`"labels":{"old":["a"],"new":null}`, &ticketv1.Ticket{}, "label_ids"},
		"settings: old/new": {`"customSettings":{"old":[],"new":[{"key":"k"}]}`,
			&ticketv1.Ticket{CustomSettings: []*ticketv1.CustomSetting{{Key: "k"}}}, "custom_settings"},
		"list: a list of two lists":      {`"labels":[["a"],["b"]]`, &ticketv1.Ticket{LabelIds: []string{"b"}}, "label_ids"},
		"list: null and a list":          {`"tags":[null,["b"]]`, &ticketv1.Ticket{Tags: []string{"b"}}, "tags"},
		"list: a list and null":          {`"tags":[["b"],null]`, &ticketv1.Ticket{}, "tags"},
		"list: none and a list of PHP":   {`"files":[{},{"1":{"id":"b"},"3":"c"}]`, &ticketv1.Ticket{FileIds: []string{"b", "c"}}, "file_ids"},
		"list: two empty lists":          {`"tags":[[],[]]`, &ticketv1.Ticket{}, "tags"},
		"list: two elements":             {`"labels":[{"id":"a"},{"id":"b"}]`, &ticketv1.Ticket{LabelIds: []string{"a", "b"}}, "label_ids"},
		"list: two numbers are elements": {`"tags":[1,2]`, &ticketv1.Ticket{Tags: []string{"1", "2"}}, "tags"},
		"list: a list and a string": {`"tags":[["a"],"b"]`,
			&ticketv1.Ticket{Attributes: map[string]string{"tags": `[["a"],"b"]`}}, "attributes,tags"},
		"list: two nulls": {`"tags":[null,null]`,
			&ticketv1.Ticket{Attributes: map[string]string{"tags": `[null,null]`}}, "attributes,tags"},
		"list: three lists": {`"tags":[[],[],[]]`,
			&ticketv1.Ticket{Attributes: map[string]string{"tags": `[[],[],[]]`}}, "attributes,tags"},
		"list: strings as removed and added": {`"tags":{"removed":"a","added":"b"}`, &ticketv1.Ticket{Tags: []string{"b"}}, "tags"},

		"settings: two objects":      {`"customSettings":[{"a":"1"},{"a":"2"}]`, settingsOnly("a", "2"), "custom_settings"},
		"settings: list and object":  {`"customSettings":[[],{"a":"2"}]`, settingsOnly("a", "2"), "custom_settings"},
		"settings: null and object":  {`"customSettings":[null,{"a":"2"}]`, settingsOnly("a", "2"), "custom_settings"},
		"settings: object and none":  {`"customSettings":[{"a":"2"},[]]`, &ticketv1.Ticket{}, "custom_settings"},
		"settings: empty and object": {`"customSettings":[{},{"a":"2"}]`, settingsOnly("a", "2"), "custom_settings"},
		"settings: list and setting": {`"customSettings":[[],{"key":"a","value":"2"}]`, settingsOnly("a", "2"), "custom_settings"},
		"settings: two lists":        {`"customSettings":[[{"key":"b"}],[{"key":"a","value":"2"}]]`, settingsOnly("a", "2"), "custom_settings"},
		"settings: from/to":          {`"customSettings":{"from":{"a":"1"},"to":{"a":"2"}}`, settingsOnly("a", "2"), "custom_settings"},
		"settings: from/to of null": {`"customSettings":{"from":null,"to":[{"key":"a","value":"2"}]}`,
			settingsOnly("a", "2"), "custom_settings"},
		"settings: one named to": {`"customSettings":{"to":"2"}`, settingsOnly("to", "2"), "custom_settings"},
		"settings: named old and new": {`"customSettings":{"old":[],"new":"2"}`, &ticketv1.Ticket{CustomSettings: []*ticketv1.CustomSetting{
			{Key: "old", SettingValue: &ticketv1.CustomSetting_ValueJson{ValueJson: "[]"}},
			{Key: "new", SettingValue: &ticketv1.CustomSetting_Value{Value: "2"}}}}, "custom_settings"},
		"settings: only old": {`"customSettings":{"from":[]}`,
			&ticketv1.Ticket{Attributes: map[string]string{"customSettings": `{"from":[]}`}}, "attributes,custom_settings"},
		"settings: a setting and an empty one": {`"customSettings":[{"key":"a","value":"2"},{}]`,
			&ticketv1.Ticket{CustomSettings: append(settingsOnly("a", "2").CustomSettings, &ticketv1.CustomSetting{})}, "custom_settings"},
		"settings: two of them": {`"customSettings":[{"key":"a"},{"key":"b"}]`,
			&ticketv1.Ticket{CustomSettings: []*ticketv1.CustomSetting{{Key: "a"}, {Key: "b"}}}, "custom_settings"},

		"attribute: unreadAdminMessages": {`"unreadAdminMessages":{"from":1,"to":2.0}`, attributesOnly("unreadAdminMessages", "2.0"),
			"attributes"},
		"attribute: unreadUserMessages": {`"unreadUserMessages":[1, 0]`, attributesOnly("unreadUserMessages", "0"), "attributes"},
		"attribute: read":               {`"read":{"removed":false,"added":true}`, attributesOnly("read", "true"), "attributes"},
		"attribute: sortHash":           {`"sortHash":["a","b"]`, attributesOnly("sortHash", `"b"`), "attributes"},
		"attribute: customerWaitingSinceIndicator": {`"customerWaitingSinceIndicator":{"old":"red"}`,
			attributesOnly("customerWaitingSinceIndicator", "null"), "attributes"},
		"attribute: customerWaitingSince": {`"customerWaitingSince":["2026-03-02T08:00:00Z",null]`,
			attributesOnly("customerWaitingSince", "null"), "attributes"},
		"attribute: channelPaths": {`"channelPaths":{"from":[],"to":[ ["a"] ]}`, attributesOnly("channelPaths", `[ ["a"] ]`),
			"attributes"},
		"attribute: channelPaths, two of them": {`"channelPaths":[["a"],["b"]]`, attributesOnly("channelPaths", `[["a"],["b"]]`),
			"attributes"},
		"attribute: channelPaths, lists of them": {`"channelPaths":[[["a"]],[["b"],["c"]]]`,
			attributesOnly("channelPaths", `[["b"],["c"]]`), "attributes"},
		"attribute: channelPaths, from null": {`"channelPaths":[null,[["b"]]]`, attributesOnly("channelPaths", `[["b"]]`), "attributes"},
		"attribute: channelPaths, to none":   {`"channelPaths":[[["b"]],[]]`, attributesOnly("channelPaths", `[]`), "attributes"},
		"attribute: channelPaths, two empty": {`"channelPaths":[[],[]]`, attributesOnly("channelPaths", `[[],[]]`), "attributes"},
		"attribute: channelPaths, one empty": {`"channelPaths":[[],["b"]]`, attributesOnly("channelPaths", `[[],["b"]]`), "attributes"},
		"attribute: channelPaths, only old":  {`"channelPaths":{"old":[]}`, attributesOnly("channelPaths", `{"old":[]}`), "attributes"},
		"attribute: channelPaths, removed":   {`"channelPaths":{"removed":[]}`, attributesOnly("channelPaths", `{"removed":[]}`), "attributes"},
		"attribute: a list of three":         {`"read":[1,2,3]`, attributesOnly("read", "[1,2,3]"), "attributes"},

		"unknown: old/new":             {`"x":{"old":1,"new": 2.50 }`, attributesOnly("x", "2.50"), "attributes"},
		"unknown: before/after":        {`"x":{"after":null,"before":1}`, attributesOnly("x", "null"), "attributes"},
		"unknown: oldValue/newValue":   {`"x":{"oldValue":1,"newValue":2}`, attributesOnly("x", "2"), "attributes"},
		"unknown: previous is a value": {`"x":{"previous":1,"current":2}`, attributesOnly("x", `{"previous":1,"current":2}`), "attributes"},
		"unknown: from/to is a value":  {`"x":{"from":1,"to":2}`, attributesOnly("x", `{"from":1,"to":2}`), "attributes"},
		"unknown: added is a value":    {`"x":{"removed":1,"added":2}`, attributesOnly("x", `{"removed":1,"added":2}`), "attributes"},
		"unknown: only new is a value": {`"x":{"new":2}`, attributesOnly("x", `{"new":2}`), "attributes"},
		"unknown: only old is a value": {`"x":{"old":2}`, attributesOnly("x", `{"old":2}`), "attributes"},
		"unknown: a third key":         {`"x":{"old":1,"new":2,"by":3}`, attributesOnly("x", `{"old":1,"new":2,"by":3}`), "attributes"},
		"unknown: keys of two pairs":   {`"x":{"old":1,"after":2}`, attributesOnly("x", `{"old":1,"after":2}`), "attributes"},
		"unknown: a list of two":       {`"x":[1,2]`, attributesOnly("x", "[1,2]"), "attributes"},
		"unknown: an empty object":     {`"x":{}`, attributesOnly("x", "{}"), "attributes"},

		"_embedded: a user": {`"_embedded":{"assignedTo":{"old":null,"new":{"id":"u1","email":"e"}}}`, &ticketv1.Ticket{AssigneeId: "u1"},
			"assignee_id"},
		"_embedded: users as a list":  {`"_embedded":{"createdBy":[null,{"id":"u1"}]}`, &ticketv1.Ticket{CreatorId: "u1"}, "creator_id"},
		"_embedded: labels as lists":  {`"_embedded":{"labels":[[],[{"id":"l1"}]]}`, &ticketv1.Ticket{LabelIds: []string{"l1"}}, "label_ids"},
		"_embedded: itself as a list": {`"_embedded":[[],{"unit":{"name":"n"}}]`, &ticketv1.Ticket{UnitName: "n"}, "unit_name"},
		"_embedded: itself":           {`"_embedded":{"old":{},"new":{"unit":{"name":"n"}}}`, &ticketv1.Ticket{UnitName: "n"}, "unit_name"},
		"_embedded: unknown":          {`"_embedded":{"group":{"old":1,"new":2}}`, attributesOnly("_embedded.group", "2"), "attributes"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			diffTicket(t, `"delta":{`+test.delta+`}`, test.want, splitMask(test.mask)...)
		})
	}
}

func settingsOnly(key, value string) *ticketv1.Ticket {
	return &ticketv1.Ticket{CustomSettings: []*ticketv1.CustomSetting{{Key: key, SettingValue: &ticketv1.CustomSetting_Value{Value: value}}}}
}
