package envelope_test

import (
	"strings"
	"testing"

	"github.com/ticketbridge/ticketbridge/gateway/internal/envelope"
)

func TestRedactTakesTokensOut(t *testing.T) {
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
		"an escaped name":           {`{"\u0074\u006Fk\u0065n":"s"}`, `{"\u0074\u006Fk\u0065n":"redacted"}`},
		"one letter escaped":        {`{"toke\u006e":"s"}`, `{"toke\u006e":"redacted"}`},
		"lone surrogates beside":    {`{"x":"\ud800","token":"s"}`, `{"x":"\ud800","token":"redacted"}`},
		"doubled keys":              {`{"token":"1","token":"2"}`, `{"token":"redacted","token":"redacted"}`},
		"broken: no closing quote":  {`{"token":"s3cret`, `{"token":"redacted"`},
		"broken: cut in an escape":  {`{"token":"s3cret\`, `{"token":"redacted"`},
		"broken: cut in an object":  {`{"token":{"a":"s3cret"`, `{"token":"redacted"`},
		"broken: a stray quote":     {`{"a":"x" y","token":"s3cret"}`, `{"a":"x" y","token":"redacted"}`},
		"broken: a lost quote":      {`{"a":"x "token":"s3cret"}`, `{"a":"x "token":"redacted"}`},
		"broken: a scalar":          {`{"token":s3cret,"x":1`, `{"token":"redacted","x":1`},
		"broken: BOM":               {"\ufeff" + `{"token":"s"}`, "\ufeff" + `{"token":"redacted"}`},
		"broken: trailing garbage":  {`{"token":"s"}}`, `{"token":"redacted"}}`},
		"broken: invalid UTF-8":     {"{\"token\":\"\xff\"}\xff", "{\"token\":\"redacted\"}\xff"},
		"broken: an escaped name":   {`{"toke\u006e":"s"`, `{"toke\u006e":"redacted"`},
		"broken: several":           {`"token":"a" "token" : 7`, `"token":"redacted" "token" : "redacted"`},
		"broken: nothing to redact": {`{"token":`, `{"token":`},
		"broken: cut in the name":   {`{"toke\u006e"`, `{"toke\u006e"`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := []byte(test.body)
			if got := string(envelope.Redact(body)); got != test.want {
				t.Errorf("Redact(%s) = %s, want %s", test.body, got, test.want)
			}
			if string(body) != test.body {
				t.Error("Redact changed its argument")
			}
			if got := string(envelope.Redact([]byte(test.want))); got != test.want {
				t.Errorf("Redact of a redacted body = %s", got)
			}
		})
	}
}

func TestRedactLeavesOtherBodiesAlone(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"no token":                 `{"event":{"id":"e1"}}`,
		"a value":                  `{"a":"token","b":["token"]}`,
		"another case":             `{"Token":"a","TOKEN":"b"}`,
		"a longer name":            `{"tokens":"a","accessToken":"b","\u0074oken ":1}`,
		"inside a text":            `{"a":"x\"token\":\"y\""}`,
		"the end of a quoted name": `{"x\"token":"y"}`,
		"another escape":           `{"\u0054oken":"a","x":"\u0061"}`,
		"redacted already":         `{"token":"redacted"}`,
		"empty":                    ``,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := []byte(body)
			out := envelope.Redact(in)
			if string(out) != body {
				t.Fatalf("Redact(%s) = %s", body, out)
			}
			if len(in) > 0 && &in[0] != &out[0] {
				t.Error("Redact copied a body that it did not change")
			}
		})
	}
}

func TestRedactAllocatesOnlyToChange(t *testing.T) {
	body := []byte(`{"event":{"title":"` + strings.Repeat("x", 2000) + `"}}`)
	if allocs := testing.AllocsPerRun(100, func() { envelope.Redact(body) }); allocs != 0 {
		t.Errorf("Redact allocates %v times for a body without a token", allocs)
	}
}
