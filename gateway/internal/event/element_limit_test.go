package event_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/ticketbridge/ticketbridge/gateway/internal/event"
	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	"github.com/ticketbridge/ticketbridge/internal/elements"
)

// repeat returns n elements, separated by commas. The element's # is its number.
func repeat(n int, element string) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strings.ReplaceAll(element, "#", fmt.Sprint(i)))
	}
	return b.String()
}

// elementsOf returns the number of elements of a request on the wire, up to one more than allowed.
func elementsOf(t *testing.T, result event.Result) int {
	t.Helper()
	message := messageOf(result)
	data, err := proto.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	n, err := elements.InProto(data, message.ProtoReflect().Descriptor())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestMap_movesAListWithTooManyElements(t *testing.T) {
	t.Parallel()
	const many = elements.Max + 1
	for name, test := range map[string]struct{ field, value, exact string }{
		"tags":            {"tags", "[" + repeat(many, `"a#"`) + "]", ""},
		"channels":        {"channels", "[" + repeat(many, `""`) + "]", ""},
		"numbered":        {"tags", "{" + repeat(many, `"#":"a"`) + "}", ""},
		"labels":          {"labels", "[" + repeat(many, `{"id":"a#","email":"e"}`) + "]", "[" + repeat(many, `"a#"`) + "]"},
		"files":           {"files", "[ " + repeat(many, `#`) + "]", ""},
		"not UTF-8":       {"tags", `["\ud800",` + repeat(many, `"#"`) + "]", ""},
		"settings":        {"customSettings", "[" + repeat(many, `{}`) + "]", ""},
		"settings by key": {"customSettings", "{" + repeat(many, `"a#":1`) + "}", ""},
		"one setting":     {"customSettings", `[{"key":"k","value":"v",` + repeat(many, `"a#":[]`) + "}]", ""},
		"of settings":     {"customSettings", "[" + repeat(many/2+1, `{"key":"k#","a":1}`) + "]", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.exact == "" {
				test.exact = test.value
			}
			data := `{"id":"t1","title":"a","tags2":["b"],"delta":{"` + test.field + `":` + test.value + `}}`
			result, err := event.Map(bodyWith("ticket.updated", data), receiveTime, tolerance)
			if err != nil {
				t.Fatal(err)
			}
			ticket := result.Updated.GetTicket()
			want := map[string]string{test.field: test.exact, "tags2": `["b"]`}
			if !maps.Equal(ticket.GetAttributes(), want) || ticket.GetTitle() != "a" {
				t.Errorf("attributes %.200v, title %q", ticket.GetAttributes(), ticket.GetTitle())
			}
			if n := elementsOf(t, result); n > 10 || result.Elements != n {
				t.Errorf("%d elements are left", n)
			}
			if found := finding("data.delta."+test.field, "too many elements", true); !containsFinding(result, found[0]) {
				t.Errorf("findings %v", result.Findings)
			}
		})
	}
}

func TestMap_movesTheLargestListFirst(t *testing.T) {
	t.Parallel()
	data := `{"id":"t1","title":"a","tags":[` + repeat(4000, `"t#"`) + `],"files":[` + repeat(5000, `"f#"`) + `],"customSettings":[` +
		repeat(3000, `{"key":"k#"}`) + `]}`
	result, err := event.Map(bodyWith("ticket.created", data), receiveTime, tolerance)
	if err != nil {
		t.Fatal(err)
	}
	ticket := result.Created.GetTicket()
	if len(ticket.GetFileIds()) != 0 || len(ticket.GetTags()) != 4000 || len(ticket.GetCustomSettings()) != 3000 ||
		!strings.HasPrefix(ticket.GetAttributes()["files"], `["f0","f1"`) || len(ticket.GetAttributes()) != 1 {
		t.Errorf("%d files, %d tags, %d settings, %d attributes; want the files among the attributes", len(ticket.GetFileIds()),
			len(ticket.GetTags()), len(ticket.GetCustomSettings()), len(ticket.GetAttributes()))
	}
}

func TestMap_keepsElementsUpToTheLimit(t *testing.T) {
	t.Parallel()
	// In addition to the tags: the attribute, and the paths attributes, create_time, tags and title, but not app_id.
	const others = 5
	for tags, want := range map[int]int{elements.Max - others: elements.Max, elements.Max - others + 1: others + 1} {
		data := `{"id":"t1","title":"a","x":1,"tags":[` + repeat(tags, `"a"`) + `]}`
		result, err := event.Map(bodyWith("ticket.created", data), receiveTime, tolerance)
		if err != nil {
			t.Fatal(err)
		}
		if n := elementsOf(t, result); n != want || result.Elements != n {
			t.Errorf("%d tags: %d elements, want %d", tags, n, want)
		}
	}
}

func TestMap_foldsTooManyUndocumentedFields(t *testing.T) {
	t.Parallel()
	const many = 20_000
	data := `{"id":"t1","title":"a","read":true,"tags":["b"],"_overflow":7,` + repeat(many, `"a#": {"n":#}`) +
		`,"_embedded":{"category":{"id":"c"},"b":[1.0],"unit":{"id":1}},"delta":{"a7":1e2,"\u00fc\"\n":"\ud800"}}`
	result, err := event.Map(bodyWith("ticket.updated", data), receiveTime, tolerance)
	if err != nil {
		t.Fatal(err)
	}
	ticket := result.Updated.GetTicket()
	if ticket.GetTitle() != "a" || !slices.Equal(ticket.GetTags(), []string{"b"}) {
		t.Errorf("title %q, tags %q", ticket.GetTitle(), ticket.GetTags())
	}
	keys := slices.Sorted(maps.Keys(ticket.GetAttributes()))
	if want := []string{"_embedded.category", "_embedded.unit", "_overflow", "read"}; !slices.Equal(keys, want) {
		t.Fatalf("attributes %.200q, want %q", keys, want)
	}
	var folded map[string]json.RawMessage
	if err := json.Unmarshal([]byte(ticket.GetAttributes()["_overflow"]), &folded); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"_overflow": "7", "_embedded.b": "[1.0]", "a7": "1e2", "ü\"\n": `"\ud800"`}
	for i := range many {
		if name := fmt.Sprint("a", i); want[name] == "" {
			want[name] = fmt.Sprintf(`{"n":%d}`, i)
		}
	}
	for name, value := range want {
		if string(folded[name]) != value {
			t.Fatalf("%q is %q, want %q", name, folded[name], value)
		}
	}
	if len(folded) != len(want) {
		t.Errorf("%d fields, want %d", len(folded), len(want))
	}
	if found := finding("data", "too many elements", true); !containsFinding(result, found[0]) {
		t.Errorf("findings %v", result.Findings)
	}
}

// TestMap_limitsElementsAndLosesNothing has events with different numbers of elements. No request has more elements than are allowed, and
// each request has every value.
func TestMap_limitsElementsAndLosesNothing(t *testing.T) {
	t.Parallel()
	lists := map[string]string{"tags": `"#"`, "channels": `"#"`, "labels": `{"id":"#"}`, "files": `"#"`, "customSettings": `{"key":"#","x":1}`}
	for _, sizes := range [][6]int{
		{0, 0, 0, 0, 0, 0}, {9990, 0, 0, 0, 0, 0}, {0, 0, 9990, 3, 0, 0}, {2500, 2500, 2500, 2500, 2500, 2500}, {1, 1, 1, 1, 1, 10_001},
		{0, 0, 0, 0, 4998, 0}, {0, 0, 0, 0, 5000, 0}, {5000, 4000, 3000, 2000, 1000, 1}, {1, 1000, 2000, 3000, 4000, 5000},
		{9999, 9999, 9999, 9999, 9999, 9999}, {11_000, 11_000, 11_000, 11_000, 11_000, 11_000}, {5000, 1, 1, 1, 1, 5000},
	} {
		want := map[string]int{"fields": sizes[5]}
		var members []string
		for i, name := range slices.Sorted(maps.Keys(lists)) {
			want[name] = sizes[i]
			members = append(members, `"`+name+`":[`+repeat(want[name], lists[name])+`]`)
		}
		data := `{"id":"t1",` + strings.Join(members, ",")
		if want["fields"] > 0 {
			data += "," + repeat(want["fields"], `"x#":#`)
		}
		result, err := event.Map(bodyWith("ticket.updated", data+"}"), receiveTime, tolerance)
		if err != nil {
			t.Fatal(err)
		}
		if n := elementsOf(t, result); n > elements.Max || result.Elements != n {
			t.Fatalf("%v: more than %d elements", want, elements.Max)
		}
		ticket := result.Updated.GetTicket()
		got := map[string]int{"tags": len(ticket.GetTags()), "channels": len(ticket.GetChannels()), "labels": len(ticket.GetLabelIds()),
			"files": len(ticket.GetFileIds()), "customSettings": len(ticket.GetCustomSettings()), "fields": 0}
		for key, text := range ticket.GetAttributes() {
			if _, isList := lists[key]; !isList && key != "_overflow" {
				got["fields"]++
				continue
			}
			if got[key] != 0 {
				t.Fatalf("%v: %s is typed, and kept as well", want, key)
			}
			if key == "_overflow" {
				var fields map[string]json.RawMessage
				err = json.Unmarshal([]byte(text), &fields)
				got["fields"] += len(fields)
			} else {
				var list []json.RawMessage
				err = json.Unmarshal([]byte(text), &list)
				got[key] = len(list)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if !maps.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
}

// TestMap_isAtMostThreeTimesItsBody has the values that a request repeats most often: in the field, inexactly; in the attribute, exactly;
// and in the entry of the list of changes. ticketsvc refuses requests of more than 11 MiB, so the body has the maximum size.
func TestMap_isAtMostThreeTimesItsBody(t *testing.T) {
	t.Parallel()
	const largestBody, largestRequest = inbox.MaxBodyBytes, 11 << 20
	text := strings.Repeat("x", largestBody-1000) + `\ud800`
	for name, data := range map[string]string{
		"a string":              `"title":"` + text + `"`,
		"a changed string":      `"delta":[{"field":"title","new":"` + text + `","more":1}]`,
		"changed settings":      `"delta":[{"field":"customSettings","new":[{"key":"k","value":"` + text + `"}],"more":1}]`,
		"changed tags":          `"delta":[{"field":"tags","new":["` + text + `"],"more":1}]`,
		"a changed element":     `"delta":[{"path":"/tags/1","op":"add","value":"` + text + `","more":1}]`,
		"files in _embedded":    `"delta":[{"field":"_embedded","new":{"files":["` + text + `"]},"more":1}]`,
		"category in _embedded": `"delta":[{"field":"_embedded","new":{"category":"` + text + `"},"more":1}]`,
		"unit in _embedded":     `"delta":[{"field":"_embedded","new":{"unit":"` + text + `"},"more":1}]`,
		"settings' attributes": `"delta":[{"field":"customSettings","new":[{` + repeat(9900, `"`+strings.Repeat("y", 300)+`#":1`) +
			`,"\ud800":1}],"more":1}]`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := bodyWith("ticket.updated", `{"id":"t1",`+data+`}`)
			result, err := event.Map(body, receiveTime, tolerance)
			if err != nil || len(body) > largestBody {
				t.Fatalf("a body of %d bytes: %v", len(body), err)
			}
			if size := proto.Size(messageOf(result)); size > largestRequest {
				t.Errorf("%d bytes of %d", size, len(body))
			}
		})
	}
}
