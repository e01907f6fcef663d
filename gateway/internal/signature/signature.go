// Package signature tells whether a delivery was signed by Allthings, and when.
//
// A signature is the HMAC-SHA256 of the raw body under the webhook's shared secret, in hex. The time that goes with it is not covered
// by it: the documented code signs the body alone. So a captured delivery can be sent again with a new time, and only de-duplication
// by event id makes that harmless.
//
// Source: the provider's developer documentation, page "Best practices".
package signature

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// ErrInvalid says that a delivery is not signed with any of the secrets. Nothing it holds can be trusted.
var ErrInvalid = errors.New("invalid signature")

// ErrStale says that the time beside a signature is missing, can't be read, or is too far from now.
var ErrStale = errors.New("signature timestamp is missing, not in milliseconds, or too far from now")

// Signature is what a signature header claims.
type Signature [sha256.Size]byte

// Parse reads values, those of the signature header: one signature, which is 64 hex digits of either case, with or without "sha256="
// before them. The error is [ErrInvalid]: a header of another form is wrong for every body.
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

// Verifier checks signatures against one or more secrets, more than one while they are rotated. The zero value accepts none. It is safe for
// concurrent use.
type Verifier struct {
	// keyed holds, for each secret, hashes that the secret is already worked into.
	keyed atomic.Pointer[[]*sync.Pool]
}

// NewVerifier returns a verifier that accepts a signature made with any of the secrets.
func NewVerifier(secrets []string) *Verifier {
	v := &Verifier{}
	v.Set(secrets)
	return v
}

// Set replaces the secrets, all at once: each call of Verify sees either the old or the new ones.
func (v *Verifier) Set(secrets []string) {
	keyed := make([]*sync.Pool, 0, len(secrets))
	for _, secret := range secrets {
		keyed = append(keyed, &sync.Pool{New: func() any { return hmac.New(sha256.New, []byte(secret)) }})
	}
	v.keyed.Store(&keyed)
}

// Verify returns nil when claimed is the signature of body, and [ErrInvalid] otherwise.
//
// The time that it takes says nothing about the secrets: each is tried, and compared in constant time.
func (v *Verifier) Verify(claimed Signature, body []byte) error {
	keyed := v.keyed.Load()
	if keyed == nil {
		return ErrInvalid
	}
	valid := false
	for _, pool := range *keyed {
		mac := pool.Get().(hash.Hash)
		mac.Reset()
		_, _ = mac.Write(body)
		var sum [sha256.Size]byte
		if hmac.Equal(mac.Sum(sum[:0]), claimed[:]) {
			valid = true
		}
		pool.Put(mac)
	}
	if !valid {
		return ErrInvalid
	}
	return nil
}

// CheckTime returns nil when header, the values of the timestamp header, is one time in milliseconds since the epoch that is no
// further than tolerance from now, in either direction, and [ErrStale] otherwise. A tolerance of 0 means that there need not be any time.
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
