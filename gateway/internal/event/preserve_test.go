package event_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"

	"github.com/ticketbridge/ticketbridge/gateway/internal/event"
	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
)

// Each JSON value of each field is afterwards in the ticket's typed field, or byte for byte among its attributes. The expected value of the
// typed field is read here a second time, with encoding/json, time and regular expressions. None of it is from the package under test.

// modelledField is a field of the provider with a field of Ticket.
type modelledField struct {
	name, path, key string
	isEmbedded      bool // also a member of _embedded
	onlyEmbedded    bool
	holds           func(ticket *ticketv1.Ticket, n node) bool
}

var modelledFields = []modelledField{
	{name: "assignedTo", path: "assignee_id", isEmbedded: true, holds: func(t *ticketv1.Ticket, n node) bool {
		return holdsID(t.GetAssigneeId(), n)
	}},
	{name: "category", path: "category_id", isEmbedded: true, holds: func(t *ticketv1.Ticket, n node) bool {
		return holdsID(t.GetCategoryId(), n)
	}},
	{name: "createdBy", path: "creator_id", isEmbedded: true, holds: func(t *ticketv1.Ticket, n node) bool {
		return holdsID(t.GetCreatorId(), n)
	}},
	{name: "channels", path: "channels", holds: func(t *ticketv1.Ticket, n node) bool {
		return holdsList(t.GetChannels(), n, holdsString)
	}},
	{name: "tags", path: "tags", holds: func(t *ticketv1.Ticket, n node) bool {
		return holdsList(t.GetTags(), n, holdsString)
	}},
	{name: "files", path: "file_ids", isEmbedded: true, holds: func(t *ticketv1.Ticket, n node) bool {
		return holdsList(t.GetFileIds(), n, holdsID)
	}},
	{name: "labels", path: "label_ids", isEmbedded: true, holds: func(t *ticketv1.Ticket, n node) bool {
		return holdsList(t.GetLabelIds(), n, holdsID)
	}},
	{name: "description", path: "description", holds: func(t *ticketv1.Ticket, n node) bool {
		return holdsString(t.GetDescription(), n)
	}},
	{name: "incrementID", path: "increment_id", holds: func(t *ticketv1.Ticket, n node) bool {
		return holdsString(t.GetIncrementId(), n)
	}},
	{name: "phoneNumber", path: "phone_number", holds: func(t *ticketv1.Ticket, n node) bool {
		return holdsString(t.GetPhoneNumber(), n)
	}},
	{name: "status", path: "status_text", holds: func(t *ticketv1.Ticket, n node) bool {
		return holdsString(t.GetStatusText(), n)
	}},
	{name: "title", path: "title", holds: func(t *ticketv1.Ticket, n node) bool {
		return holdsString(t.GetTitle(), n)
	}},
	{name: "commentCount", path: "comment_count", holds: holdsCount},
	{name: "createdAt", path: "create_time", holds: func(t *ticketv1.Ticket, n node) bool {
		return holdsDate(t.GetCreateTime().AsTime(), t.CreateTime != nil, n)
	}},
	{name: "updatedAt", path: "update_time", holds: func(t *ticketv1.Ticket, n node) bool {
		return holdsDate(t.GetUpdateTime().AsTime(), t.UpdateTime != nil, n)
	}},
	{name: "lastStatusUpdate", path: "last_status_update_time", holds: func(t *ticketv1.Ticket, n node) bool {
		return holdsDate(t.GetLastStatusUpdateTime().AsTime(), t.LastStatusUpdateTime != nil, n)
	}},
	{name: "customSettings", path: "custom_settings", holds: func(t *ticketv1.Ticket, n node) bool {
		return holdsSettings(t.GetCustomSettings(), n)
	}},
	{name: "property", path: "property_id", key: "_embedded.property", onlyEmbedded: true,
		holds: func(t *ticketv1.Ticket, n node) bool {
			return holdsID(t.GetPropertyId(), n)
		}},
	{name: "unit", path: "unit_name", key: "_embedded.unit", onlyEmbedded: true, holds: holdsUnit},
}

// valuePositions are the positions in a body where a field can have a value. isChanged is set if the value could be a change there.
var valuePositions = []struct {
	data                string
	embedded, isChanged bool
}{
	{`{"id":"t1","FIELD":VALUE}`, false, false},
	{`{"id":"t1","delta":{"FIELD":VALUE}}`, false, true},
	{`{"ticket":{"id":"t1","FIELD": VALUE }}`, false, false},
	{`{"id":"t1","delta":[{"field":"FIELD","old":null,"new":VALUE}]}`, false, false},
	{`{"id":"t1","delta":[{"op":"replace","path":"/FIELD","value":VALUE}]}`, false, false},
	{`{"id":"t1","_embedded":{"FIELD":VALUE}}`, true, false},
	{`{"id":"t1","delta":{"_embedded":{"FIELD":VALUE}}}`, true, true},
	{`{"ticket":{"id":"t1","_embedded":{"FIELD":VALUE}}}`, true, false},
}

// node is a JSON value as encoding/json reads it.
type node struct {
	raw     string
	kind    byte // the first byte
	text    string
	names   []string
	members []node // of an object, in the order of names, or of a list
}

func parseNode(raw []byte) node {
	raw = bytes.TrimSpace(raw)
	n := node{raw: string(raw), kind: raw[0]}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	switch n.kind {
	case '"':
		if err := json.Unmarshal(raw, &n.text); err != nil {
			panic(err)
		}
	case '{', '[':
		if _, err := decoder.Token(); err != nil {
			panic(err)
		}
		for decoder.More() {
			if n.kind == '{' {
				name, err := decoder.Token()
				if err != nil {
					panic(err)
				}
				n.names = append(n.names, name.(string))
			}
			var member json.RawMessage
			if err := decoder.Decode(&member); err != nil {
				panic(err)
			}
			n.members = append(n.members, parseNode(member))
		}
	}
	return n
}

func (n node) member(name string) (node, bool) {
	if i := slices.Index(n.names, name); i >= 0 {
		return n.members[i], true
	}
	return node{}, false
}

func (n node) isNull() bool { return n.raw == "null" }
func (n node) isEmpty() bool {
	return (n.kind == '{' || n.kind == '[') && len(n.members) == 0 || n.raw == `""`
}
func (n node) isNumber() bool { return strings.IndexByte("-0123456789", n.kind) >= 0 }
func (n node) isInteger() bool {
	return n.isNumber() && !strings.ContainsAny(n.raw, ".eE")
}

var (
	escapedPair = regexp.MustCompile(`\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}`)
	surrogate   = regexp.MustCompile(`\\u[dD][89a-fA-F]`)
)

// isExact reports whether UTF-8 can hold a string: it has no surrogate without its other half.
func (n node) isExact() bool {
	return !surrogate.MatchString(escapedPair.ReplaceAllString(n.raw, ".."))
}

func (n node) isNumbered() bool {
	return n.kind == '{' && !slices.ContainsFunc(n.names, func(name string) bool { return !regexp.MustCompile(`^\d+$`).MatchString(name) })
}

// id returns the id in a node.
func (n node) id() (node, bool) {
	for range 2 {
		if n.kind != '{' {
			return n, true
		}
		id, ok := n.member("$oid")
		if !ok {
			id, ok = n.member("id")
		}
		if !ok {
			return n, false
		}
		n = id
	}
	return n, n.kind != '{'
}

func holdsString(got string, n node) bool {
	switch {
	case n.isNull():
		return got == ""
	case n.kind == '"':
		return n.isExact() && got == n.text
	case n.isNumber(), n.kind == 't', n.kind == 'f':
		return got == n.raw
	default:
		return false
	}
}

func holdsID(got string, n node) bool {
	if n.isEmpty() || n.isNull() {
		return got == ""
	}
	id, ok := n.id()
	return ok && (id.kind == '"' || id.isInteger()) && holdsString(got, id)
}

func holdsUnit(ticket *ticketv1.Ticket, n node) bool {
	name, ok := n.member("name")
	switch {
	case n.isEmpty(), n.isNull():
		return ticket.GetUnitName() == ""
	case ok:
		return !name.isNull() && holdsString(ticket.GetUnitName(), name)
	default:
		return holdsString(ticket.GetUnitName(), n)
	}
}

func holdsList(got []string, n node, holds func(string, node) bool) bool {
	elements := []node{n}
	switch {
	case n.isNull(), n.isEmpty():
		elements = nil
	case n.kind == '[', n.isNumbered():
		elements = n.members
	}
	return slices.EqualFunc(got, elements, func(got string, n node) bool {
		return !n.isNull() && (n.kind == '"' || !n.isEmpty()) && holds(got, n)
	})
}

func holdsCount(ticket *ticketv1.Ticket, n node) bool {
	if n.isNull() {
		return ticket.GetCommentCount() == 0
	}
	return (n.isInteger() && n.raw == strconv.Itoa(int(ticket.GetCommentCount())) || n.raw == "-0" && ticket.GetCommentCount() == 0) ||
		n.kind == '"' && regexp.MustCompile(`^\d+$`).MatchString(n.text) &&
			strings.TrimLeft(n.text, "0") == strings.TrimLeft(strconv.Itoa(int(ticket.GetCommentCount())), "0")
}

var (
	isoDate = regexp.MustCompile(`^(\d{4})-(\d\d)-(\d\d)` +
		`(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?(?:([Zz])|([+-])(\d\d):?(\d\d)?)?)?$`)
	zeroDate = regexp.MustCompile(`^(0000-00-00|-0001-11-30)[0-9:.,+\-TtZz ]*$`)
	decimal  = regexp.MustCompile(`^-?\d+(\.\d+)?$`)
)

func holdsDate(got time.Time, isSet bool, n node) bool {
	inner, zone := n, time.UTC
	if mongo, ok := n.member("$date"); ok {
		if inner = mongo; mongo.kind == '{' {
			if inner, ok = mongo.member("$numberLong"); !ok || inner.kind == '{' || len(mongo.members) > 1 {
				return false
			}
		}
	} else if php, ok := n.member("date"); ok {
		inner = php
		if name, ok := n.member("timezone"); ok {
			if zone = zoneOf(n, name); zone == nil {
				return false
			}
		}
	}
	text := inner.text
	switch {
	case inner.isNull() && n.isNull(), inner.kind == '"' && (text == "" || zeroDate.MatchString(text)):
		return !isSet
	case inner.isNumber(), inner.kind == '"' && decimal.MatchString(text):
		if inner.isNumber() {
			text = inner.raw
		}
		number, _, err := big.ParseFloat(text, 10, 500, big.ToZero)
		if err != nil || !isSet {
			return false
		}
		if new(big.Float).Abs(number).Cmp(big.NewFloat(1e11)) >= 0 {
			number.Quo(number, big.NewFloat(1000))
		}
		number.Sub(number, new(big.Float).SetInt64(got.Unix()))
		number.Sub(number, new(big.Float).Quo(big.NewFloat(float64(got.Nanosecond())), big.NewFloat(1e9)))
		return new(big.Float).Abs(number).Cmp(big.NewFloat(1.1e-9)) < 0
	case inner.kind != '"':
		return false
	}
	parts := isoDate.FindStringSubmatch(text)
	if parts == nil || !isSet {
		return false
	}
	number := func(i int) int { value, _ := strconv.Atoi(parts[i]); return value }
	nanoseconds, _ := strconv.Atoi((parts[7] + "000000000")[:9])
	if parts[8] != "" || parts[9] != "" {
		zone = time.UTC
	}
	want := time.Date(number(1), time.Month(number(2)), number(3), number(4), number(5), number(6), nanoseconds, zone)
	offset := time.Duration(number(10))*time.Hour + time.Duration(number(11))*time.Minute
	if parts[9] == "+" {
		offset = -offset
	}
	return got.Equal(want.Add(offset))
}

func zoneOf(date, name node) *time.Location {
	offset := regexp.MustCompile(`^([+-]\d\d):?(\d\d)?$`).FindStringSubmatch(name.text)
	kind, _ := date.member("timezone_type")
	switch {
	case offset != nil:
		hours, _ := strconv.Atoi(offset[1])
		minutes, _ := strconv.Atoi(offset[1][:1] + "0" + offset[2])
		return time.FixedZone("", hours*3600+minutes*60)
	case name.text == "Z", name.text == "z":
		return time.UTC
	case strings.Trim(kind.raw, `"`) == "2":
		hours, ok := map[string]float64{"UTC": 0, "GMT": 0, "WET": 0, "WEST": 1, "BST": 1, "CET": 1, "CEST": 2, "MET": 1, "MEST": 2, "EET": 2,
			"EEST": 3, "MSK": 3, "TRT": 3, "NST": -3.5, "NDT": -2.5, "AST": -4, "ADT": -3, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7,
			"MDT": -6, "PST": -8, "PDT": -7}[name.text]
		if !ok {
			return nil
		}
		return time.FixedZone("", int(hours*3600))
	}
	zone, err := time.LoadLocation(name.text)
	if err != nil || name.text == "" || name.text == "Local" || name.text == "localtime" {
		return nil
	}
	return zone
}

func holdsSettings(got []*ticketv1.CustomSetting, n node) bool {
	asObject := func(n node) bool {
		i := 0
		for m, name := range n.names {
			if name == "token" {
				continue
			}
			if i == len(got) || got[i].GetKey() != name || strings.Contains(name, "\ufffd") || !holdsValue(got[i], n.members[m]) {
				return false
			}
			i++
		}
		return i == len(got)
	}
	switch {
	case n.isNull():
		return len(got) == 0
	case n.kind == '[', n.isNumbered() && !slices.ContainsFunc(n.members, hasNoKey):
		return slices.EqualFunc(got, n.members, holdsSetting)
	case n.kind == '{':
		return asObject(n) || len(got) == 1 && holdsSetting(got[0], n)
	default:
		return false
	}
}

func hasNoKey(n node) bool {
	_, ok := n.member("key")
	return !ok
}

func holdsSetting(got *ticketv1.CustomSetting, n node) bool {
	if n.kind != '{' {
		return false
	}
	others := 0
	for i, name := range n.names {
		value, holds := n.members[i], true
		switch name {
		case "key":
			holds = holdsString(got.GetKey(), value)
		case "type":
			holds = holdsString(got.GetType(), value)
		case "value":
			holds = holdsValue(got, value)
		case "token":
		default:
			others++
			holds = got.GetAttributes()[name] == value.raw && !strings.Contains(name, "\ufffd")
		}
		if !holds {
			return false
		}
	}
	return len(got.GetAttributes()) == others
}

func holdsValue(got *ticketv1.CustomSetting, n node) bool {
	switch {
	case n.isNull():
		return got.GetSettingValue() == nil
	case n.kind == '"':
		_, isText := got.GetSettingValue().(*ticketv1.CustomSetting_Value)
		return isText && n.isExact() && got.GetValue() == n.text
	default:
		return got.GetValueJson() == n.raw
	}
}

// newValues returns the possible new values of a value in a delta: the value itself, or the new value of a pair.
func newValues(n node) []node {
	values := []node{n}
	if n.kind == '[' && len(n.members) == 2 {
		values = append(values, n.members[1])
	}
	pairs := [][2]string{{"old", "new"}, {"from", "to"}, {"before", "after"}, {"oldValue", "newValue"}, {"previous", "current"},
		{"removed", "added"}}
	for _, pair := range pairs {
		only := !slices.ContainsFunc(n.names, func(name string) bool { return name != pair[0] && name != pair[1] })
		if value, ok := n.member(pair[1]); ok && only {
			values = append(values, value)
		} else if _, ok := n.member(pair[0]); ok && only {
			values = append(values, node{raw: "null", kind: 'n'})
		}
	}
	return values
}

// keptForms returns the exact JSON that may be kept of a value: the whole value, only its ids, or only its name.
func keptForms(n node) []string {
	kept := []string{n.raw}
	for _, name := range []string{"id", "$oid", "name"} {
		if part, ok := n.member(name); ok && !part.isNull() {
			kept = append(kept, keptForms(part)...)
		}
	}
	elements := []node{n}
	if n.kind == '[' || n.isNumbered() {
		elements = n.members
	}
	var ids []string
	for _, element := range elements {
		if id, ok := element.id(); ok {
			ids = append(ids, id.raw)
		}
	}
	return append(kept, "["+strings.Join(ids, ",")+"]")
}

// checkPreserved fails the test if a value of a field in that position is lost.
func checkPreserved(t interface {
	Helper()
	Fatalf(string, ...any)
}, f modelledField, position int, value []byte) {
	t.Helper()
	where := valuePositions[position]
	data := strings.NewReplacer("FIELD", f.name, "VALUE", string(value)).Replace(where.data)
	body := bodyWith("ticket.updated", data)
	if _, err := event.Parse(body); err != nil {
		return // Such as a doubled key.
	}
	result, err := event.Map(body, receiveTime, tolerance)
	if err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	ticket := result.Updated.GetTicket()
	if !slices.Contains(result.Updated.GetFieldMask().GetPaths(), f.path) {
		t.Fatalf("%s: the mask %v does not name the field", data, result.Updated.GetFieldMask().GetPaths())
	}
	n := parseNode(value)
	candidates := []node{n}
	if where.isChanged {
		candidates = newValues(n)
	}
	key := f.key
	if key == "" {
		key = f.name
	}
	kept, isKept := ticket.GetAttributes()[key]
	for _, candidate := range candidates {
		if !isKept && f.holds(ticket, candidate) || isKept && slices.Contains(keptForms(candidate), kept) {
			if isKept && !isEmptyOrInexact(ticket, f.path) {
				t.Fatalf("%s: kept, and typed as well: %v", data, ticket)
			}
			return
		}
	}
	t.Fatalf("%s: lost in %v", data, ticket)
}

// isEmptyOrInexact reports whether a field is empty, or has U+FFFD.
func isEmptyOrInexact(ticket *ticketv1.Ticket, path string) bool {
	message := ticket.ProtoReflect()
	descriptor := message.Descriptor().Fields().ByName(protoreflect.Name(path))
	return !message.Has(descriptor) || strings.Contains(fmt.Sprint(message.Get(descriptor).Interface(), ticket.GetCustomSettings(),
		ticket.GetLabelIds(), ticket.GetTags(), ticket.GetChannels(), ticket.GetFileIds()), "\ufffd")
}

// positionsOf returns the indexes in valuePositions where a field can have a value.
func positionsOf(f modelledField) []int {
	var positions []int
	for i, position := range valuePositions {
		if position.embedded && (f.isEmbedded || f.onlyEmbedded) || !position.embedded && !f.onlyEmbedded {
			positions = append(positions, i)
		}
	}
	return positions
}

// anyJSON generates JSON values. Keys and values that have a meaning for Map are likely.
func anyJSON(depth int) *rapid.Generator[string] {
	strs := rapid.OneOf(
		rapid.SampledFrom([]string{`""`, `"a"`, `"12"`, `"-1.5"`, `"\ud800"`, `"a\u202eb"`, `"\u0041\ud83e\udd76"`, `"\ufffd"`,
			`"2026-03-02T08:00:00Z"`, `"2026-03-02 08:00:00"`, `"2026-03-02"`, `"0000-00-00"`, `"-0001-11-30 00:00:00"`,
			`"Europe\/Zurich"`, `"CEST"`, `"+02:00"`, `"Local"`,
			`"1772438400123"`}),
		rapid.Map(rapid.StringN(0, 8, 16), func(text string) string {
			quoted, _ := json.Marshal(text)
			return string(quoted)
		}))
	scalars := rapid.OneOf(strs, rapid.SampledFrom([]string{`null`, `true`, `false`, `0`, `-0`, `1.0`, `1e2`, `7`, `2147483648`, `1772438400`,
		`1772438400123`, `9007199254740993`, `-1.5E-3`, `1e999999999`}))
	if depth == 0 {
		return scalars
	}
	inner := anyJSON(depth - 1)
	space := rapid.SampledFrom([]string{"", "", "", " ", "\n\t"})
	names := rapid.SampledFrom([]string{"id", "$oid", "key", "type", "value", "name", "old", "new", "from", "to", "before", "after",
		"oldValue", "newValue", "previous", "current", "removed", "added", "date", "timezone", "timezone_type", "$date", "$numberLong",
		"0", "1", "2", "a",
		`\ud800`, "email", "", `o\u006cd`})
	pairs := rapid.SampledFrom([][]string{{"old", "new"}, {"from", "to"}, {"before", "after"}, {"oldValue", "newValue"},
		{"previous", "current"}, {"added", "removed"}, {"date", "timezone_type", "timezone"}, {"key", "type", "value"}, {"0", "1"},
		{"new"}, {"removed"}})
	object := rapid.Custom(func(t *rapid.T) string {
		var b strings.Builder
		keys := pairs.Draw(t, "keys")
		if rapid.Bool().Draw(t, "any keys") {
			keys = rapid.SliceOfNDistinct(names, 0, 4, rapid.ID).Draw(t, "names")
		}
		b.WriteString("{" + space.Draw(t, "space"))
		for i, name := range keys {
			if i > 0 {
				b.WriteString(",")
			}
			b.WriteString(`"` + name + `"` + space.Draw(t, "space") + ":" + inner.Draw(t, "value"))
		}
		return b.String() + space.Draw(t, "space") + "}"
	})
	list := rapid.Custom(func(t *rapid.T) string {
		elements := rapid.SliceOfN(inner, 0, 3).Draw(t, "elements")
		return "[" + space.Draw(t, "space") + strings.Join(elements, space.Draw(t, "space")+",") + "]"
	})
	return rapid.OneOf(scalars, list, object, object)
}

func TestMap_losesNoValueOfAnyForm(t *testing.T) {
	t.Parallel()
	values := anyJSON(3)
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.SampledFrom(modelledFields).Draw(t, "field")
		position := rapid.SampledFrom(positionsOf(f)).Draw(t, "position")
		checkPreserved(t, f, position, []byte(values.Draw(t, "value")))
	})
}

func FuzzMap_losesNoValueOfAnyForm(f *testing.F) {
	for _, test := range fieldForms {
		for i, field := range modelledFields {
			if field.name == test.field {
				f.Add(uint8(i), uint8(1), []byte(test.value))
			}
		}
	}
	for _, test := range dateForms {
		f.Add(uint8(15), uint8(0), []byte(test.value))
	}
	for _, value := range []string{`[[],[1]]`, `[null,{"id":"u"}]`, `{"removed":["a"],"added":[]}`, `{"from":[],"to":{"a":"b"}}`} {
		f.Add(uint8(16), uint8(1), []byte(value))
		f.Add(uint8(5), uint8(6), []byte(value))
	}
	f.Fuzz(func(t *testing.T, field, position uint8, value []byte) {
		if !json.Valid(value) || bytes.Contains(value, []byte("FIELD")) || bytes.Contains(value, []byte("VALUE")) {
			return
		}
		f := modelledFields[int(field)%len(modelledFields)]
		positions := positionsOf(f)
		checkPreserved(t, f, positions[int(position)%len(positions)], value)
	})
}

func TestMap_losesNoPartOfAnyForm(t *testing.T) {
	t.Parallel()
	values := anyJSON(3)
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.SampledFrom([]string{"data", "ticket", "_embedded", "delta", "delta._embedded", "createdDate"}).Draw(t, "part")
		value := values.Draw(t, "value")
		data, createdDate := `{"id":"t1","`+part+`":`+value+`}`, `"2026-03-02T08:00:00Z"`
		switch part {
		case "data":
			data = value
		case "delta._embedded":
			data = `{"id":"t1","delta":{"_embedded":` + value + `}}`
		case "createdDate":
			data, createdDate = `{"id":"t1","updatedAt":"2026-03-02T08:00:00Z"}`, value
		}
		body := []byte(`{"event":{"id":"e1","name":"ticket.updated","createdDate":` + createdDate +
			`,"urn":"urn:allthings:app:a:ticket:c:t1","data":` + data + `}}`)
		if _, err := event.Parse(body); err != nil {
			return
		}
		n := parseNode([]byte(value))
		result, err := event.Map(body, receiveTime, 0)
		if part == "data" && err != nil && err.Error() == "no ticket id" {
			return // It names a ticket by an id that can't be used; the URN may name another one.
		}
		if err != nil {
			if part != "delta" || n.kind == '{' || n.isNull() || n.kind == '[' && n.isEmpty() {
				t.Fatalf("%s: %v", data, err)
			}
			return
		}
		key := strings.TrimPrefix(part, "delta.")
		candidates := []node{n}
		if part == "delta._embedded" {
			candidates = newValues(n)
		}
		for _, n := range candidates {
			if part == "createdDate" || n.kind == '{' || n.isNull() || n.kind == '[' && n.isEmpty() ||
				part == "delta" && n.kind == '[' || result.Updated.GetTicket().GetAttributes()[key] == n.raw {
				return
			}
		}
		t.Fatalf("%s: lost in %v", data, result.Updated.GetTicket())
	})
}
