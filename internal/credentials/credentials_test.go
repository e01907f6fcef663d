package credentials_test

import (
	"strings"
	"testing"

	"github.com/ticketbridge/ticketbridge/internal/credentials"
)

const (
	gatewayToken  = "0123456789abcdef"
	readerToken   = "a-reader's-token=="
	operatorToken = "!#$%&'()*+-./:;<=>?@[]^_`{|}~"
)

func mustParse(t *testing.T, entries ...string) credentials.Tokens {
	t.Helper()
	tokens, err := credentials.Parse(entries)
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

// scope returns the scope of a token, for [credentials.Tokens] and [credentials.Current].
func scope(tokens interface {
	Identify(token string) (credentials.Scope, string)
}, token string,
) credentials.Scope {
	scope, _ := tokens.Identify(token)
	return scope
}

func TestTokens_Identify_names(t *testing.T) {
	t.Parallel()
	tokens := mustParse(t, "ingest="+gatewayToken, "read="+readerToken)
	_, gateway := tokens.Identify(gatewayToken)
	_, reader := tokens.Identify(readerToken)
	_, again := mustParse(t, "admin="+readerToken).Identify(readerToken)
	_, none := tokens.Identify(operatorToken)
	if len(gateway) != 16 || len(reader) != 16 || gateway == reader || again != reader || none != "" {
		t.Errorf("names %q, %q and again %q, without a token %q: want 16 hex digits, of each token its own, and none", gateway, reader, again,
			none)
	}
}

func TestTokens_Identify_scopes(t *testing.T) {
	t.Parallel()
	tokens := mustParse(t, "ingest="+gatewayToken, "", " read="+readerToken+"\r", "read="+strings.Repeat("r", 4096), "admin="+operatorToken,
		"read="+readerToken)
	for token, want := range map[string]credentials.Scope{
		gatewayToken: credentials.Ingest, readerToken: credentials.Read, strings.Repeat("r", 4096): credentials.Read,
		operatorToken: credentials.Admin, "": credentials.None, gatewayToken[:15]: credentials.None, gatewayToken + "0": credentials.None,
		"ingest=" + gatewayToken: credentials.None, strings.ToUpper(gatewayToken): credentials.None, " " + gatewayToken: credentials.None,
		strings.Repeat("r", 4097): credentials.None,
	} {
		if got := scope(tokens, token); got != want {
			t.Errorf("scope of %.40q is %v, want %v", token, got, want)
		}
	}
	if scope := scope(credentials.Tokens{}, ""); scope != credentials.None {
		t.Errorf("without tokens, no token has the scope %v", scope)
	}
}

func TestParse_errorsHoldNoToken(t *testing.T) {
	t.Parallel()
	const hidden = "hush-hush-hush-hush"
	for name, test := range map[string]struct {
		entries []string
		want    string
	}{
		"no scope":             {[]string{"", hidden}, "entry 2 is not of the form"},
		"an unknown scope":     {[]string{"write=" + hidden}, "entry 1 is not of the form"},
		"the wrong way round":  {[]string{hidden + "=read"}, "entry 1 is not of the form"},
		"a scope in capitals":  {[]string{"READ=" + hidden}, "entry 1 is not of the form"},
		"no scope's name":      {[]string{"none=" + hidden}, "entry 1 is not of the form"},
		"no token":             {[]string{"read="}, "has 0 bytes"},
		"a short token":        {[]string{"read=hush-hush-hush"}, "has 14 bytes: use 16 to 4096"},
		"a long token":         {[]string{"read=" + strings.Repeat(hidden, 300)}, "has 5700 bytes"},
		"two on a line":        {[]string{"read=" + hidden + ",read=" + hidden}, "visible ASCII without commas"},
		"a space":              {[]string{"read=" + hidden + " " + hidden}, "visible ASCII"},
		"a control character":  {[]string{"read=" + hidden + "\x00"}, "visible ASCII"},
		"beyond ASCII":         {[]string{"read=" + hidden + "ü"}, "visible ASCII"},
		"not even UTF-8":       {[]string{"read=" + hidden + "\xff"}, "visible ASCII"},
		"one token, two ranks": {[]string{"read=" + hidden, "admin=" + hidden}, "entry 2 has the token of another entry with another scope"},
		"two that are wrong":   {[]string{"read=x", "admin=y"}, "; entry 2 "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tokens, err := credentials.Parse(test.entries)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("error %v, want one with %q", err, test.want)
			}
			if strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q, want one line without the token", err)
			}
			if !tokens.Empty() {
				t.Error("there are tokens beside the error")
			}
		})
	}
}

func TestTokens_Join(t *testing.T) {
	t.Parallel()
	one := mustParse(t, "ingest="+gatewayToken)
	both, err := one.Join(mustParse(t, "ingest="+gatewayToken, "read="+readerToken))
	if err != nil || scope(both, gatewayToken) != credentials.Ingest || scope(both, readerToken) != credentials.Read {
		t.Errorf("joined: %v, scopes %v and %v", err, scope(both, gatewayToken), scope(both, readerToken))
	}
	if scope(one, readerToken) != credentials.None {
		t.Error("joining changed what was joined")
	}
	if _, err := one.Join(mustParse(t, "admin="+gatewayToken)); err == nil || strings.Contains(err.Error(), gatewayToken) {
		t.Errorf("a token of two scopes: %v", err)
	}
}

func TestCurrent_Set_replacesAtOnce(t *testing.T) {
	t.Parallel()
	var current credentials.Current
	if scope := scope(&current, gatewayToken); scope != credentials.None {
		t.Errorf("scope %v before there are tokens", scope)
	}
	current.Set(mustParse(t, "ingest="+gatewayToken))
	current.Set(mustParse(t, "read="+readerToken))
	if old, now := scope(&current, gatewayToken), scope(&current, readerToken); old != credentials.None || now != credentials.Read {
		t.Errorf("the old token has scope %v, the new one %v", old, now)
	}
}

func TestOutgoing_Set(t *testing.T) {
	t.Parallel()
	var outgoing credentials.Outgoing
	if token := outgoing.Token(); token != "" {
		t.Errorf("token %q before there is one", token)
	}
	if err := outgoing.Set(" " + readerToken + "\r\n"); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{"": "0 bytes", "hush": "4 bytes", "ingest=" + gatewayToken: "the token alone",
		gatewayToken + "\n" + gatewayToken: "more than one line", gatewayToken + " hush": "visible ASCII"} {
		err := outgoing.Set(text)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") ||
			strings.Contains(err.Error(), gatewayToken) {
			t.Errorf("%q: error %v, want one with %q and without the token", text, err, want)
		}
	}
	if token := outgoing.Token(); token != readerToken {
		t.Errorf("token %q after errors, want the one before", token)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("ingest=" + gatewayToken + "\nread=" + readerToken)
	f.Add("read=" + gatewayToken + "\r\n\r\nadmin=" + gatewayToken)
	f.Add("admin=short\nwrite=" + gatewayToken)
	f.Add("=\n==\nread==\x00\xff,")
	f.Fuzz(func(t *testing.T, text string) {
		entries := strings.Split(text, "\n")
		tokens, err := credentials.Parse(entries)
		if err != nil {
			if !tokens.Empty() || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q with tokens %v", err, !tokens.Empty())
			}
			return
		}
		count := 0
		for _, entry := range entries {
			name, token, found := strings.Cut(strings.TrimSpace(entry), "=")
			if !found {
				continue
			}
			count++
			if got := scope(tokens, token); got.String() != name || credentials.CheckToken(token) != nil {
				t.Errorf("%q was accepted, and its token has the scope %v", entry, got)
			}
		}
		if tokens.Empty() != (count == 0) {
			t.Errorf("%d tokens, and Empty is %v", count, tokens.Empty())
		}
	})
}
