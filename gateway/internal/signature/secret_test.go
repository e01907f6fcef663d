package signature_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/ticketbridge/ticketbridge/gateway/internal/signature"
)

const (
	oneApp     = "82662ee4-0080-4960-8b8f-d7693e6ff3e4"
	anotherApp = "5f0c1e2d3b4a596877660101"
)

func TestParseSecret(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]signature.Secret{
		oneApp + "=a secret":      {App: oneApp, Key: "a secret"},
		anotherApp + "=a=secret=": {App: anotherApp, Key: "a=secret="},
		oneApp + "=":              {App: oneApp},
		// These are secrets with an equals sign in them.
		"for-development=only":                {Key: "for-development=only"},
		"=" + oneApp:                          {Key: "=" + oneApp},
		strings.ToUpper(oneApp) + "=a secret": {Key: strings.ToUpper(oneApp) + "=a secret"},
		"x" + anotherApp + "=a secret":        {Key: "x" + anotherApp + "=a secret"},
		anotherApp + "0=a secret":             {Key: anotherApp + "0=a secret"},
		oneApp + " = a secret":                {Key: oneApp + " = a secret"},
		oneApp:                                {Key: oneApp},
		"a1=a secret":                         {Key: "a1=a secret"},
		base64.StdEncoding.EncodeToString([]byte("a secret of sixteen")): {
			Key: base64.StdEncoding.EncodeToString([]byte("a secret of sixteen"))},
	} {
		if got := signature.ParseSecret(text); got != want {
			t.Errorf("%q is %+v, want %+v", text, got, want)
		}
	}
}

func TestSigner_MaySignFor(t *testing.T) {
	t.Parallel()
	const body = "body"
	v := signature.NewVerifier(signature.Secret{App: oneApp, Key: "one"}, signature.Secret{App: anotherApp, Key: "another"},
		signature.Secret{App: oneApp, Key: "both"}, signature.Secret{App: anotherApp, Key: "both"}, signature.Secret{Key: "every"},
		signature.Secret{App: oneApp, Key: "every"})
	for key, want := range map[string]map[string]bool{
		"one":     {oneApp: true, anotherApp: false, "third": false, "": false},
		"another": {oneApp: false, anotherApp: true, "third": false, "": false},
		"both":    {oneApp: true, anotherApp: true, "third": false, "": false},
		"every":   {oneApp: true, anotherApp: true, "third": true, "": true},
	} {
		signer, err := v.Verify(signature.Signature(mac(key, body)), []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		for app, may := range want {
			if got := signer.MaySignFor(app); got != may {
				t.Errorf("%s may sign for %q: %v, want %v", key, app, got, may)
			}
		}
	}
	if signer, err := v.Verify(signature.Signature(mac(oneApp+"=one", body)), []byte(body)); err == nil || signer.MaySignFor(oneApp) {
		t.Error("the whole line is a secret as well")
	}
}
