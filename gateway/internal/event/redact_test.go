package event_test

import (
	"strings"
	"testing"

	"github.com/ticketbridge/ticketbridge/gateway/internal/event"
)

func TestRedact_removesTokens(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ body, want string }{
		"a string":            {`{"token":"s3cret"}`, `{"token":"redacted"}`},
		"white space stays":   {"{ \"token\" :\n \"s3cret\" , \"a\" : 1 }", "{ \"token\" :\n \"redacted\" , \"a\" : 1 }"},
		"quotes in the value": {`{"token":"a\"b\\","x":"y"}`, `{"token":"redacted","x":"y"}`},
		"a number":            {`{"token":12345,"x":1}`, `{"token":"redacted","x":1}`},
		"null":                {`{"token":null}`, `{"token":"redacted"}`},
		"an object":           {`{"token":{"old":"}]","new":["a"]},"x":{}}`, `{"token":"redacted","x":{}}`},
		"an array":            {`[{"token":["]","b",{}]},1]`, `[{"token":"redacted"},1]`},
		"at any depth, each": {`{"a":[{"token":"1"}],"b":{"c":{"token":"2"}}}`,
			`{"a":[{"token":"redacted"}],"b":{"c":{"token":"redacted"}}}`},
		"an escaped name":        {`{"\u0074\u006Fk\u0065n":"s"}`, `{"\u0074\u006Fk\u0065n":"redacted"}`},
		"one letter escaped":     {`{"toke\u006e":"s"}`, `{"toke\u006e":"redacted"}`},
		"lone surrogates beside": {`{"x":"\ud800","token":"s"}`, `{"x":"\ud800","token":"redacted"}`},
		"doubled keys":           {`{"token":"1","token":"2"}`, `{"token":"redacted","token":"redacted"}`},
		"a path as a name": {`{"ticket.token":"a","/ticket/token":"b","\/token\/x":"c"}`,
			`{"ticket.token":"redacted","/ticket/token":"redacted","\/token\/x":"redacted"}`},
		"a change of it": {`{"field":"token","old":"a","new":["b"], "by":"c"}`, `{"field":"token","old":"redacted","new":"redacted", "by":"c"}`},
		"a change, field last": {`[{"from":null,"to":{"token":"b"},"field":"token"},{"field":"title","to":"c"}]`,
			`[{"from":"redacted","to":"redacted","field":"token"},{"field":"title","to":"c"}]`},
		"a change by a path":          {`{"op":"replace","path":"/token","value":"a"}`, `{"op":"replace","path":"/token","value":"redacted"}`},
		"a change by a longer path":   {`{"path":"/ticket/token","value": 7 }`, `{"path":"/ticket/token","value": "redacted" }`},
		"a change within it":          {`{"path":"/token/0","value":"a"}`, `{"path":"/token/0","value":"redacted"}`},
		"a change by an escaped path": {`{"p\u0061th":"\/t\u006Fken","value":"a"}`, `{"p\u0061th":"\/t\u006Fken","value":"redacted"}`},
		"a change by a list as path":  {`{"path":["ticket","token"],"value":"a"}`, `{"path":["ticket","token"],"value":"redacted"}`},
		"a setting of that key":       {`{"key":"token","type":"string","value":"a"}`, `{"key":"token","type":"string","value":"redacted"}`},
		"a change in a change": {`{"field":"token","new":{"field":"token","new":{"token":"a"}},"x":{"token":"b"}}`,
			`{"field":"token","new":"redacted","x":{"token":"redacted"}}`},
		"broken: a change":              {`{"field":"token","new":"s3cret"`, `"redacted"`},
		"broken: a change by a path":    {`{"new":"s3cret", "path" : "\/ticket\/token`, `"redacted"`},
		"broken: a path as a name":      {`{"/ticket/token":"s3cret"`, `{"/ticket/token":"redacted"`},
		"broken: a change of the title": {`{"field":"title","token":"s3cret"`, `{"field":"title","token":"redacted"`},
		"broken: no value of a field":   {`{"x":"token","field":`, `{"x":"token","field":`},
		"broken: no closing quote":      {`{"token":"s3cret`, `{"token":"redacted"`},
		"broken: cut in an escape":      {`{"token":"s3cret\`, `{"token":"redacted"`},
		"broken: cut in an object":      {`{"token":{"a":"s3cret"`, `{"token":"redacted"`},
		"broken: a stray quote":         {`{"a":"x" y","token":"s3cret"}`, `{"a":"x" y","token":"redacted"}`},
		"broken: a lost quote":          {`{"a":"x "token":"s3cret"}`, `{"a":"x "token":"redacted"}`},
		"broken: a scalar":              {`{"token":s3cret,"x":1`, `{"token":"redacted","x":1`},
		"broken: BOM":                   {"\ufeff" + `{"token":"s"}`, "\ufeff" + `{"token":"redacted"}`},
		"broken: trailing garbage":      {`{"token":"s"}}`, `{"token":"redacted"}}`},
		"broken: invalid UTF-8":         {"{\"token\":\"\xff\"}\xff", "{\"token\":\"redacted\"}\xff"},
		"broken: an escaped name":       {`{"toke\u006e":"s"`, `{"toke\u006e":"redacted"`},
		"broken: several":               {`"token":"a" "token" : 7`, `"token":"redacted" "token" : "redacted"`},
		"broken: nothing to redact":     {`{"token":`, `{"token":`},
		"broken: cut in the name":       {`{"toke\u006e"`, `{"toke\u006e"`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := []byte(test.body)
			if got := string(event.Redact(body)); got != test.want {
				t.Errorf("Redact(%s) = %s, want %s", test.body, got, test.want)
			}
			if string(body) != test.body {
				t.Error("Redact changed its argument")
			}
			if got := string(event.Redact([]byte(test.want))); got != test.want {
				t.Errorf("Redact of a redacted body = %s", got)
			}
		})
	}
}

func TestRedact_leavesOtherBodiesUnchanged(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"no token":                  `{"event":{"id":"e1"}}`,
		"a value":                   `{"a":"token","b":["token"]}`,
		"another case":              `{"Token":"a","TOKEN":"b"}`,
		"a longer name":             `{"tokens":"a","accessToken":"b","\u0074oken ":1}`,
		"a change of another field": `{"field":"tokens","new":"a","path":"/title/nottoken","value":"token"}`,
		"inside a text":             `{"a":"x\"token\":\"y\""}`,
		"the end of a quoted name":  `{"x\"token":"y"}`,
		"another escape":            `{"\u0054oken":"a","x":"\u0061"}`,
		"redacted already":          `{"token":"redacted"}`,
		"empty":                     ``,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := []byte(body)
			out := event.Redact(in)
			if string(out) != body {
				t.Fatalf("Redact(%s) = %s", body, out)
			}
			if len(in) > 0 && &in[0] != &out[0] {
				t.Error("Redact copied a body that it did not change")
			}
		})
	}
}

func TestRedact_allocatesOnlyForAChange(t *testing.T) {
	body := []byte(`{"event":{"title":"` + strings.Repeat("x", 2000) + `"}}`)
	if allocs := testing.AllocsPerRun(100, func() { event.Redact(body) }); allocs != 0 {
		t.Errorf("Redact allocates %v times for a body without a token", allocs)
	}
}

func TestRedact_isLinear(t *testing.T) {
	t.Parallel()
	// Each of these takes minutes if the body is read once for each of its quotes or brackets.
	for _, body := range []string{
		`{"token":"a","x":"` + strings.Repeat(`\"`, 1<<19),
		`{"token":"a","x":` + strings.Repeat(`{"field":[`, 1<<17),
		`{"token":"a","x":` + strings.Repeat(`{"token":{`, 1<<17),
		`{"token":"a","x":` + strings.Repeat(`{"field":[`, 4000) + strings.Repeat("]}", 4000) + `}`,
		`{"token":"a","x":` + strings.Repeat(`{"field":[`, 4990) + strings.Repeat("1,", 4<<20) + "1" + strings.Repeat("]}", 4990) + `}`,
	} {
		if redacted := event.Redact([]byte(body)); !strings.HasPrefix(string(redacted), `{"token":"redacted"`) {
			t.Errorf("Redact = %.40s", redacted)
		}
	}
}
