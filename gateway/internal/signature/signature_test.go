package signature_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ticketbridge/ticketbridge/gateway/internal/signature"
)

func mac(secret, body string) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(body))
	return h.Sum(nil)
}

func sign(secret, body string) string { return hex.EncodeToString(mac(secret, body)) }

// verify processes the values of a signature header as a server does.
func verify(v *signature.Verifier, header []string, body string) error {
	claimed, err := signature.Parse(header)
	if err != nil {
		return err
	}
	_, err = v.Verify(claimed, []byte(body))
	return err
}

// RFC 4231, test case 2.
func TestVerifyAgreesWithThePublishedTestVector(t *testing.T) {
	t.Parallel()
	v := signature.NewVerifier(signature.Secret{Key: "Jefe"})
	const published = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
	if err := verify(v, []string{published}, "what do ya want for nothing?"); err != nil {
		t.Error(err)
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	const body = `{"event":{"id":"1"}}`
	good := sign("new", body)
	flipped := mac("new", body)
	flipped[31] ^= 1
	tests := map[string]struct {
		header []string
		body   string
		valid  bool
	}{
		"lower-case hex":           {[]string{good}, body, true},
		"upper-case hex":           {[]string{strings.ToUpper(good)}, body, true},
		"sha256= before it":        {[]string{"sha256=" + good}, body, true},
		"the previous secret":      {[]string{sign("old", body)}, body, true},
		"a retired secret":         {[]string{sign("retired", body)}, body, false},
		"empty":                    {[]string{""}, body, false},
		"no value":                 {nil, body, false},
		"only the prefix":          {[]string{"sha256="}, body, false},
		"the prefix twice":         {[]string{"sha256=sha256=" + good}, body, false},
		"63 digits":                {[]string{good[:63]}, body, false},
		"65 digits":                {[]string{good + "0"}, body, false},
		"not hex":                  {[]string{strings.Repeat("g", 64)}, body, false},
		"base64":                   {[]string{base64.StdEncoding.EncodeToString(mac("new", body))}, body, false},
		"two headers":              {[]string{good, good}, body, false},
		"a comma list":             {[]string{good + "," + good}, body, false},
		"a bit of it flipped":      {[]string{hex.EncodeToString(flipped)}, body, false},
		"a bit of the body":        {[]string{good}, `{"event":{"id":"0"}}`, false},
		"CRLF appended":            {[]string{good}, body + "\r\n", false},
		"JSON written differently": {[]string{good}, `{"event": {"id": "1"}}`, false},
	}
	v := signature.NewVerifier(signature.Secret{Key: "new"}, signature.Secret{Key: "old"})
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := verify(v, test.header, test.body)
			if (err == nil) != test.valid || (err != nil && !errors.Is(err, signature.ErrInvalid)) {
				t.Errorf("Verify = %v, want valid = %v", err, test.valid)
			}
		})
	}
}

func TestAVerifierWithoutSecretsAcceptsNothing(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]*signature.Verifier{"made without": signature.NewVerifier(), "the zero value": {}} {
		if err := verify(v, []string{sign("", "body")}, "body"); !errors.Is(err, signature.ErrInvalid) {
			t.Errorf("%s: Verify = %v", name, err)
		}
	}
}

// A header in a form that is wrong for every body is refused before a body is read.
func TestParse_impossible(t *testing.T) {
	t.Parallel()
	digits := sign("secret", "body")
	for name, header := range map[string][]string{
		"none": nil, "empty": {""}, "a digit": {"0"}, "63 digits": {digits[1:]}, "65 digits": {digits + "0"}, "a blank": {digits[:63] + " "},
		"another scheme": {"sha1=" + digits[:40]}, "sha512": {"sha512=" + digits + digits}, "a prefix in capitals": {"SHA256=" + digits},
		"two headers": {digits, digits}, "a comma list": {digits + "," + digits}, "key and value": {"t=1,v1=" + digits},
	} {
		if claimed, err := signature.Parse(header); !errors.Is(err, signature.ErrInvalid) {
			t.Errorf("%s: Parse = %x, %v", name, claimed, err)
		}
	}
}

func TestVerifier_Set(t *testing.T) {
	t.Parallel()
	const body = "body"
	v := signature.NewVerifier(signature.Secret{Key: "old"})
	v.Set(signature.Secret{Key: "old"}, signature.Secret{Key: "new"})
	for _, secret := range []string{"old", "new"} {
		if err := verify(v, []string{sign(secret, body)}, body); err != nil {
			t.Errorf("while rotating, the %s secret: %v", secret, err)
		}
	}
	v.Set(signature.Secret{Key: "new"})
	if err := verify(v, []string{sign("old", body)}, body); !errors.Is(err, signature.ErrInvalid) {
		t.Errorf("after rotating, the old secret: %v", err)
	}
	if err := verify(v, []string{sign("new", body)}, body); err != nil {
		t.Errorf("after rotating, the new secret: %v", err)
	}
}

func TestCheckTime_tolerance0(t *testing.T) {
	t.Parallel()
	for _, header := range [][]string{nil, {""}, {"1"}, {"x"}, {"1", "2"}} {
		if err := signature.CheckTime(header, time.Unix(1e9, 0), 0); err != nil {
			t.Errorf("CheckTime(%q) = %v", header, err)
		}
	}
}

func TestCheckTime(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 2, 7, 15, 30, 123_000_000, time.UTC)
	const tolerance = 2 * time.Minute
	at := func(offset time.Duration) string { return strconv.FormatInt(now.Add(offset).UnixMilli(), 10) }
	tests := map[string]struct {
		header []string
		fresh  bool
	}{
		"now":                      {[]string{at(0)}, true},
		"exactly 2 min old":        {[]string{at(-tolerance)}, true},
		"exactly 2 min ahead":      {[]string{at(tolerance)}, true},
		"2 min and 1 ms old":       {[]string{at(-tolerance - time.Millisecond)}, false},
		"2 min and 1 ms ahead":     {[]string{at(tolerance + time.Millisecond)}, false},
		"missing":                  {nil, false},
		"empty":                    {[]string{""}, false},
		"twice":                    {[]string{at(0), at(0)}, false},
		"in seconds":               {[]string{strconv.FormatInt(now.Unix(), 10)}, false},
		"1e12":                     {[]string{"1e12"}, false},
		"overflowing":              {[]string{"99999999999999999999"}, false},
		"the largest that fits":    {[]string{"9223372036854775807"}, false},
		"negative":                 {[]string{"-" + at(0)}, false},
		"with a plus":              {[]string{"+" + at(0)}, false},
		"with a fraction":          {[]string{at(0) + ".5"}, false},
		"with white space":         {[]string{" " + at(0)}, false},
		"with digits of elsewhere": {[]string{"١٧٧٢٤٣٥٧٣٠١٢٣"}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := signature.CheckTime(test.header, now, tolerance)
			if (err == nil) != test.fresh || (err != nil && !errors.Is(err, signature.ErrStale)) {
				t.Errorf("CheckTime = %v, want fresh = %v", err, test.fresh)
			}
		})
	}
}

func FuzzVerify(f *testing.F) {
	f.Add(sign("secret", "body"), []byte("body"))
	f.Add("sha256=", []byte(nil))
	f.Fuzz(func(t *testing.T, header string, body []byte) {
		v := signature.NewVerifier(signature.Secret{Key: "secret"})
		valid := verify(v, []string{header}, string(body)) == nil
		if want := strings.ToLower(strings.TrimPrefix(header, "sha256=")) == sign("secret", string(body)); valid != want {
			t.Errorf("Verify = %v, want %v", valid, want)
		}
	})
}
