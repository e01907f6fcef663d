package translate_test

import (
	"testing"

	"github.com/ticketbridge/ticketbridge/gateway/internal/translate"
	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
)

func TestEventUnderstandsEveryFormOfAChange(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		delta string
		want  *ticketv1.Ticket
		mask  string
	}{
		"text: plain":                  {`"title":"b"`, &ticketv1.Ticket{Title: "b"}, "title"},
		"text: null":                   {`"title":null`, &ticketv1.Ticket{}, "title"},
		"text: old/new":                {`"title":{"old":"a","new":"b"}`, &ticketv1.Ticket{Title: "b"}, "title"},
		"text: new/old":                {`"title":{"new":"b","old":"a"}`, &ticketv1.Ticket{Title: "b"}, "title"},
		"text: from/to":                {`"title":{"from":"a","to":"b"}`, &ticketv1.Ticket{Title: "b"}, "title"},
		"text: before/after":           {`"title":{"before":"a","after":"b"}`, &ticketv1.Ticket{Title: "b"}, "title"},
		"text: removed/added":          {`"title":{"removed":"a","added":"b"}`, &ticketv1.Ticket{Title: "b"}, "title"},
		"text: only new":               {`"title":{"new":"b"}`, &ticketv1.Ticket{Title: "b"}, "title"},
		"text: only old":               {`"title":{"old":"a"}`, &ticketv1.Ticket{}, "title"},
		"text: new is null":            {`"title":{"old":"a","new":null}`, &ticketv1.Ticket{}, "title"},
		"text: escaped keys":           {`"title":{"\u006fld":"a","n\u0065w":"b"}`, &ticketv1.Ticket{Title: "b"}, "title"},
		"text: a list of two":          {`"title":["a","b"]`, &ticketv1.Ticket{Title: "b"}, "title"},
		"text: a list of two, cleared": {`"title":["a", null]`, &ticketv1.Ticket{}, "title"},
		"text: a lone surrogate is new": {`"title":["a", "\ud800"]`,
			&ticketv1.Ticket{Title: "\ufffd", Attributes: map[string]string{"title": `"\ud800"`}}, "attributes,title"},
		"id: from null": {`"assignedTo":{"old":null,"new":"u1"}`, &ticketv1.Ticket{AssignedTo: "u1"}, "assigned_to"},
		"id: users": {`"assignedTo":{"old":{"id":"u1","email":"e"},"new":{"id":"u2","email":"e"}}`,
			&ticketv1.Ticket{AssignedTo: "u2"}, "assigned_to"},
		"id: a list of two users": {`"assignedTo":[{"id":"u1"},{"id":"u2"}]`, &ticketv1.Ticket{AssignedTo: "u2"}, "assigned_to"},
		"id: only old":            {`"assignedTo":{"removed":"u1"}`, &ticketv1.Ticket{}, "assigned_to"},
		"number: a list of two":   {`"commentCount":[1,2]`, &ticketv1.Ticket{CommentCount: 2}, "comment_count"},
		"date: from/to": {`"updatedAt":{"from":null,"to":"2026-03-02T08:00:00Z"}`,
			&ticketv1.Ticket{UpdateTime: date(2026, 3, 2, 8, 0, 0, 0)}, "update_time"},
		"list: plain":       {`"labels":["a","b"]`, &ticketv1.Ticket{Labels: []string{"a", "b"}}, "labels"},
		"list: empty":       {`"labels":[]`, &ticketv1.Ticket{}, "labels"},
		"list: null":        {`"labels":null`, &ticketv1.Ticket{}, "labels"},
		"list: old/new":     {`"labels":{"old":["a"],"new":["a","b"]}`, &ticketv1.Ticket{Labels: []string{"a", "b"}}, "labels"},
		"list: only new":    {`"labels":{"added":["b"]}`, &ticketv1.Ticket{Labels: []string{"b"}}, "labels"},
		"list: new is null": {`"labels":{"old":["a"],"new":null}`, &ticketv1.Ticket{}, "labels"},
		"settings: old/new": {`"customSettings":{"old":[],"new":[{"key":"k"}]}`,
			&ticketv1.Ticket{CustomSettings: []*ticketv1.CustomSetting{{Key: "k"}}}, "custom_settings"},
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
		"attribute: a list of three": {`"read":[1,2,3]`, attributesOnly("read", "[1,2,3]"), "attributes"},

		"unknown: old/new":             {`"x":{"old":1,"new": 2.50 }`, attributesOnly("x", "2.50"), "attributes"},
		"unknown: before/after":        {`"x":{"after":null,"before":1}`, attributesOnly("x", "null"), "attributes"},
		"unknown: from/to is a value":  {`"x":{"from":1,"to":2}`, attributesOnly("x", `{"from":1,"to":2}`), "attributes"},
		"unknown: added is a value":    {`"x":{"removed":1,"added":2}`, attributesOnly("x", `{"removed":1,"added":2}`), "attributes"},
		"unknown: only new is a value": {`"x":{"new":2}`, attributesOnly("x", `{"new":2}`), "attributes"},
		"unknown: only old is a value": {`"x":{"old":2}`, attributesOnly("x", `{"old":2}`), "attributes"},
		"unknown: a third key":         {`"x":{"old":1,"new":2,"by":3}`, attributesOnly("x", `{"old":1,"new":2,"by":3}`), "attributes"},
		"unknown: keys of two pairs":   {`"x":{"old":1,"after":2}`, attributesOnly("x", `{"old":1,"after":2}`), "attributes"},
		"unknown: a list of two":       {`"x":[1,2]`, attributesOnly("x", "[1,2]"), "attributes"},
		"unknown: an empty object":     {`"x":{}`, attributesOnly("x", "{}"), "attributes"},

		"_embedded: a user": {`"_embedded":{"assignedTo":{"old":null,"new":{"id":"u1","email":"e"}}}`, &ticketv1.Ticket{AssignedTo: "u1"},
			"assigned_to"},
		"_embedded: itself":  {`"_embedded":{"old":{},"new":{"unit":{"name":"n"}}}`, &ticketv1.Ticket{UnitName: "n"}, "unit_name"},
		"_embedded: unknown": {`"_embedded":{"group":{"old":1,"new":2}}`, attributesOnly("_embedded.group", "2"), "attributes"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			diffTicket(t, `"delta":{`+test.delta+`}`, test.want, splitMask(test.mask)...)
		})
	}
}

func TestEventRefusesValuesOfAnotherType(t *testing.T) {
	t.Parallel()
	const (
		settings = "want a list of objects with the texts key and type"
		onlyOld  = "want the new list, not only the old one"
	)
	tests := map[string]struct{ data, reason string }{
		"title: number":                {`"title":5`, "data.title: want a string"},
		"title: list":                  {`"title":["a","b"]`, "data.title: want a string"},
		"title: change outside delta":  {`"title":{"old":"a","new":"b"}`, "data.title: want a string"},
		"description: object":          {`"description":{}`, "data.description: want a string"},
		"status: boolean":              {`"status":true`, "data.status: want a string"},
		"phoneNumber: number":          {`"phoneNumber":41790000001`, "data.phoneNumber: want a string"},
		"incrementID: fraction":        {`"incrementID":1.0`, "data.incrementID: want a string or an integer"},
		"incrementID: object":          {`"incrementID":{"id":"1"}`, "data.incrementID: want a string or an integer"},
		"category: list":               {`"category":["c"]`, "data.category: want an id"},
		"category: fraction":           {`"category":1.5`, "data.category: want an id"},
		"assignedTo: object without":   {`"assignedTo":{"email":"mara@example.test"}`, "data.assignedTo: want an id"},
		"assignedTo: object with null": {`"assignedTo":{"id":null}`, "data.assignedTo: want an id"},
		"assignedTo: boolean":          {`"assignedTo":false`, "data.assignedTo: want an id"},
		"channels: string":             {`"channels":"a"`, "data.channels: want a list of strings"},
		"channels: numbers":            {`"channels":["a",1]`, "data.channels: want a list of strings"},
		"tags: nulls":                  {`"tags":[null]`, "data.tags: want a list of strings"},
		"labels: object":               {`"labels":{"id":"a"}`, "data.labels: want a list of ids"},
		"labels: nulls":                {`"labels":["a",null]`, "data.labels: want a list of ids"},
		"files: objects without":       {`"files":[{"name":"n"}]`, "data.files: want a list of ids"},
		"commentCount: fraction":       {`"commentCount":4.0`, "data.commentCount: want an integer of 32 bits"},
		"commentCount: exponent":       {`"commentCount":1e2`, "data.commentCount: want an integer of 32 bits"},
		"commentCount: too large":      {`"commentCount":2147483648`, "data.commentCount: want an integer of 32 bits"},
		"commentCount: signed digits":  {`"commentCount":"+4"`, "data.commentCount: want an integer of 32 bits"},
		"commentCount: other digits":   {`"commentCount":"1_0"`, "data.commentCount: want an integer of 32 bits"},
		"commentCount: empty":          {`"commentCount":""`, "data.commentCount: want an integer of 32 bits"},
		"commentCount: list":           {`"commentCount":[]`, "data.commentCount: want an integer of 32 bits"},
		"createdAt: number":            {`"createdAt":1772438400`, "data.createdAt: not an ISO 8601 date"},
		"updatedAt: text":              {`"updatedAt":"yesterday"`, "data.updatedAt: not an ISO 8601 date"},
		"lastStatusUpdate: empty":      {`"lastStatusUpdate":""`, "data.lastStatusUpdate: not an ISO 8601 date"},
		"customSettings: object":       {`"customSettings":{}`, "data.customSettings: " + settings},
		"customSettings: texts":        {`"customSettings":["a"]`, "data.customSettings: " + settings},
		"customSettings: key":          {`"customSettings":[{"key":1}]`, "data.customSettings: " + settings},
		"customSettings: type":         {`"customSettings":[{"type":[]}]`, "data.customSettings: " + settings},

		"delta: list":                  {`"delta":[]`, "data.delta: want an object"},
		"delta: string":                {`"delta":"x"`, "data.delta: want an object"},
		"delta: number":                {`"delta":0`, "data.delta: want an object"},
		"delta.title: number":          {`"delta":{"title":1}`, "data.delta.title: want a string"},
		"delta.title: list of one":     {`"delta":{"title":["a"]}`, "data.delta.title: want a string"},
		"delta.title: list of three":   {`"delta":{"title":["a","b","c"]}`, "data.delta.title: want a string"},
		"delta.title: empty object":    {`"delta":{"title":{}}`, "data.delta.title: want a string"},
		"delta.title: a third key":     {`"delta":{"title":{"old":"a","new":"b","by":"c"}}`, "data.delta.title: want a string"},
		"delta.title: keys of two":     {`"delta":{"title":{"old":"a","to":"b"}}`, "data.delta.title: want a string"},
		"delta.title: new of a type":   {`"delta":{"title":{"old":"a","new":1}}`, "data.delta.title: want a string"},
		"delta.labels: only old":       {`"delta":{"labels":{"old":["a"]}}`, "data.delta.labels: " + onlyOld},
		"delta.channelPaths: only old": {`"delta":{"channelPaths":{"removed":["a"]}}`, "data.delta.channelPaths: " + onlyOld},
		"delta.customSettings: old":    {`"delta":{"customSettings":{"from":[]}}`, "data.delta.customSettings: " + onlyOld},
		"delta.delta":                  {`"delta":{"delta":{}}`, "data.delta.delta: not expected here"},
		"delta.ticket":                 {`"delta":{"ticket":{}}`, "data.delta.ticket: not expected here"},
		"delta._embedded: text":        {`"delta":{"_embedded":"x"}`, "data.delta._embedded: want an object"},
		"delta._embedded.labels: old":  {`"delta":{"_embedded":{"labels":{"old":[]}}}`, "data.delta._embedded.labels: " + onlyOld},
		"_embedded: list":              {`"_embedded":[]`, "data._embedded: want an object"},
		"_embedded.createdBy: id":      {`"_embedded":{"createdBy":{"id":true}}`, "data._embedded.createdBy: want an id"},
		"_embedded.unit: name":         {`"_embedded":{"unit":{"name":3.02}}`, "data._embedded.unit: want a string"},
		"_embedded.files":              {`"_embedded":{"files":{}}`, "data._embedded.files: want a list of ids"},
		"ticket: string":               {`"ticket":"t1"`, "data.ticket: want an object"},
		"ticket.title: number":         {`"ticket":{"title":1}`, "data.ticket.title: want a string"},
		"ticket._embedded: number":     {`"ticket":{"_embedded":1}`, "data.ticket._embedded: want an object"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := translate.Event(event("ticket.updated", `{"id":"t1",`+test.data+`}`), receiveTime)
			if reason := reasonOf(t, err); reason != test.reason {
				t.Errorf("reason = %q, want %q", reason, test.reason)
			}
		})
	}
}
