// Package signature checks whether a delivery was signed by Allthings, and when.
//
// A signature is the HMAC-SHA256 of the raw body under the webhook's shared secret, in hex. It does not cover the time that is sent with
// it: the documented code signs only the body. So a captured delivery can be sent again with a new time, and only deduplication by event id
// makes that harmless.
//
// Source: the provider's developer documentation, page "Best practices".
package signature

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// ErrInvalid is returned if a delivery is not signed with any of the secrets. Nothing in the delivery can be trusted.
var ErrInvalid = errors.New("invalid signature")

// ErrStale is returned if the time of a signature is missing, can't be read, or is too far from now.
var ErrStale = errors.New("signature timestamp is missing, not in milliseconds, or too far from now")

// Signature is the signature from a signature header, not verified.
type Signature [sha256.Size]byte

// Parse parses the values of the signature header. It accepts one value with one signature: 64 hex digits of either case, with or without
// "sha256=" before them. The error is [ErrInvalid], because a header of another form is wrong for every body.
func Parse(values []string) (Signature, error) {
	var s Signature
	if len(values) != 1 {
		return s, ErrInvalid
	}
	digits := strings.TrimPrefix(values[0], "sha256=")
	if len(digits) != hex.EncodedLen(len(s)) {
		return s, ErrInvalid
	}
	if _, err := hex.Decode(s[:], []byte(digits)); err != nil {
		return s, ErrInvalid
	}
	return s, nil
}

// Secret is a key of signatures.
type Secret struct {
	// App is the id of the App whose deliveries the key may sign. Empty means every App.
	App string
	Key string
}

// appSecret matches a secret with an App's id before it: a UUID, or 24 hex digits, the two forms of Allthings' ids. No secret in hex,
// base64 or base64url begins with such an id and an equals sign, so these are never mistaken for one.
var appSecret = regexp.MustCompile(`^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{24})=(.*)$`)

// ParseSecret parses <app id>=<secret>, or a secret for every App.
func ParseSecret(text string) Secret {
	if parts := appSecret.FindStringSubmatch(text); parts != nil {
		return Secret{App: parts[1], Key: parts[2]}
	}
	return Secret{Key: text}
}

// Signer is the maker of a signature: a holder of one of the secrets.
type Signer struct {
	// every is set for a secret of every App.
	every bool
	apps  []string
}

// MaySignFor reports whether the signer may sign deliveries of that App. An empty id means an unknown App, for which only a signer for
// every App may sign: otherwise a delivery without an App could change the tickets of any App.
func (s Signer) MaySignFor(app string) bool {
	return s.every || app != "" && slices.Contains(s.apps, app)
}

// Verifier checks signatures against one or more secrets. There are several while secrets are rotated. The zero value accepts none. It is
// safe for concurrent use.
type Verifier struct {
	keys atomic.Pointer[[]key]
}

// key is a secret in the form in which it is used.
type key struct {
	app string
	// keyed holds hashes that are initialized with the secret.
	keyed *sync.Pool
}

// NewVerifier returns a verifier that accepts a signature made with any of the secrets.
func NewVerifier(secrets ...Secret) *Verifier {
	v := &Verifier{}
	v.Set(secrets...)
	return v
}

// Set replaces all secrets at once: each call of Verify sees either the old or the new ones.
func (v *Verifier) Set(secrets ...Secret) {
	keys := make([]key, 0, len(secrets))
	for _, secret := range secrets {
		keys = append(keys, key{secret.App, &sync.Pool{New: func() any { return hmac.New(sha256.New, []byte(secret.Key)) }}})
	}
	v.keys.Store(&keys)
}

// Verify returns the signer if claimed is the signature of body, and otherwise [ErrInvalid].
//
// Its duration reveals nothing about the secrets to a caller that has none: each secret is tried, and compared in constant time.
func (v *Verifier) Verify(claimed Signature, body []byte) (Signer, error) {
	keys := v.keys.Load()
	if keys == nil {
		return Signer{}, ErrInvalid
	}
	var signer Signer
	valid := false
	for _, key := range *keys {
		mac := key.keyed.Get().(hash.Hash)
		mac.Reset()
		_, _ = mac.Write(body)
		var sum [sha256.Size]byte
		if hmac.Equal(mac.Sum(sum[:0]), claimed[:]) {
			valid = true
			signer.add(key.app)
		}
		key.keyed.Put(mac)
	}
	if !valid {
		return Signer{}, ErrInvalid
	}
	return signer, nil
}

func (s *Signer) add(app string) {
	if app == "" {
		s.every = true
	} else {
		s.apps = append(s.apps, app)
	}
}

// CheckTime returns nil if header, the values of the timestamp header, is one time in milliseconds since the epoch that differs from now by
// at most tolerance, in either direction. Otherwise it returns [ErrStale]. A tolerance of 0 means that no time is needed.
func CheckTime(header []string, now time.Time, tolerance time.Duration) error {
	if tolerance == 0 {
		return nil
	}
	if len(header) != 1 || strings.ContainsFunc(header[0], func(r rune) bool { return r < '0' || r > '9' }) {
		return ErrStale
	}
	milliseconds, err := strconv.ParseInt(header[0], 10, 64)
	if err != nil {
		return ErrStale
	}
	// Compared as milliseconds, because the difference of two times saturates.
	oldest, newest := now.Add(-tolerance).UnixMilli(), now.Add(tolerance).UnixMilli()
	if milliseconds < oldest || milliseconds > newest {
		return ErrStale
	}
	return nil
}
