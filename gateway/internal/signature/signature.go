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
	"time"
)

// ErrInvalid says that a delivery is not signed with any of the secrets. Nothing it holds can be trusted.
var ErrInvalid = errors.New("invalid signature")

// ErrStale says that the time beside a signature is missing, can't be read, or is too far from now.
var ErrStale = errors.New("signature timestamp is missing, not in milliseconds, or too far from now")

// Verifier checks signatures against one or more secrets, more than one while they are rotated. It is safe for concurrent use.
type Verifier struct {
	// keyed holds, for each secret, hashes that the secret is already worked into.
	keyed []*sync.Pool
}

// NewVerifier returns a verifier that accepts a signature made with any of the secrets.
func NewVerifier(secrets []string) *Verifier {
	v := &Verifier{}
	for _, secret := range secrets {
		v.keyed = append(v.keyed, &sync.Pool{New: func() any { return hmac.New(sha256.New, []byte(secret)) }})
	}
	return v
}

// Verify returns nil when header, the values of the signature header, is one signature of body, and [ErrInvalid] otherwise. A
// signature is 64 hex digits of either case, with or without "sha256=" before them.
//
// The time it takes tells nothing about the secrets: each is tried, and compared in constant time.
func (v *Verifier) Verify(header []string, body []byte) error {
	if len(header) != 1 {
		return ErrInvalid
	}
	digits := strings.TrimPrefix(header[0], "sha256=")
	var claimed [sha256.Size]byte
	if len(digits) != hex.EncodedLen(len(claimed)) {
		return ErrInvalid
	}
	if _, err := hex.Decode(claimed[:], []byte(digits)); err != nil {
		return ErrInvalid
	}
	valid := false
	for _, keyed := range v.keyed {
		mac := keyed.Get().(hash.Hash)
		mac.Reset()
		_, _ = mac.Write(body)
		var sum [sha256.Size]byte
		if hmac.Equal(mac.Sum(sum[:0]), claimed[:]) {
			valid = true
		}
		keyed.Put(mac)
	}
	if !valid {
		return ErrInvalid
	}
	return nil
}

// CheckTime returns nil when header, the values of the timestamp header, is one time in milliseconds since the epoch that is no
// further than tolerance from now, in either direction, and [ErrStale] otherwise.
func CheckTime(header []string, now time.Time, tolerance time.Duration) error {
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
