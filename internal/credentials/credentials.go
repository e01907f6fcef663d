// Package credentials identifies callers by their bearer tokens, and holds the token that a service sends itself.
//
// A token is a secret string with a scope. A scope may have several tokens, so that the old and the new token are both valid while a token
// is replaced.
package credentials

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
)

// Scope is the purpose of a token. Each service defines which RPCs a scope allows.
type Scope uint8

const (
	// None is the scope of a caller without a token, or with an invalid one.
	None Scope = iota
	// Ingest is for the gateway, which sends events.
	Ingest
	// Read is for services that read tickets.
	Read
	// Admin is for operators.
	Admin
)

var scopeNames = map[Scope]string{None: "none", Ingest: "ingest", Read: "read", Admin: "admin"}

// String returns the scope's name as it is written before a token.
func (s Scope) String() string { return scopeNames[s] }

const (
	// minTokenBytes makes it infeasible to guess a token over a network: sixteen hex digits have 2^64 possible values, and a token that people
	// invent is rarely that long.
	minTokenBytes = 16
	// maxTokenBytes limits the bytes that a caller can make the service hash. The maximum size of a header is a larger limit.
	maxTokenBytes = 4096
	// maxWrong is the maximum number of wrong entries that an error names: a file that is not a list of tokens has many.
	maxWrong = 10
)

// CheckToken returns nil if the token can be sent as a bearer token and is long enough: 16 to 4096 bytes of visible ASCII without commas,
// which separate tokens. Otherwise it returns an error that does not hold the token.
func CheckToken(token string) error {
	if len(token) < minTokenBytes || len(token) > maxTokenBytes {
		return fmt.Errorf("has %d bytes: use %d to %d, made at random", len(token), minTokenBytes, maxTokenBytes)
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' || r == ',' }) {
		return errors.New("has other characters than visible ASCII without commas: use letters and digits, made at random")
	}
	return nil
}

// scopedToken is a valid token with its scope. It has only the digest of the token: digests have the same length, so a comparison reveals
// nothing about the token's length, and a digest that is found in memory can't be sent as a token.
type scopedToken struct {
	digest [sha256.Size]byte
	scope  Scope
	// name is the first nameBytes of the digest, in hex.
	name string
}

// nameBytes is the number of bytes of a digest that distinguish tokens.
const nameBytes = 8

// Tokens are valid tokens. The zero value has none. Tokens are immutable, so they are safe for concurrent use.
type Tokens struct {
	scoped []scopedToken
}

// Parse reads entries of the form scope=token. Whitespace around an entry is dropped, and empty entries are skipped. The error is one line
// with the numbers of the first ten wrong entries (the first entry is 1) and the reason for each. It holds nothing that can be a token.
func Parse(entries []string) (Tokens, error) {
	var tokens Tokens
	var wrong []string
	for i, entry := range entries {
		entry = strings.TrimSpace(entry)
		if entry == "" {
			continue
		}
		token, err := parseEntry(entry)
		if err == nil {
			tokens, err = tokens.with(token)
		}
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("entry %d %v", i+1, err))
		}
		if len(wrong) == maxWrong {
			break
		}
	}
	if wrong != nil {
		return Tokens{}, errors.New(strings.Join(wrong, "; "))
	}
	return tokens, nil
}

func parseEntry(entry string) (scopedToken, error) {
	name, token, _ := strings.Cut(entry, "=")
	for _, scope := range []Scope{Ingest, Read, Admin} {
		if name == scope.String() {
			if err := CheckToken(token); err != nil {
				return scopedToken{}, fmt.Errorf("(of scope %s): its token %w", scope, err)
			}
			digest := sha256.Sum256([]byte(token))
			return scopedToken{digest: digest, scope: scope, name: hex.EncodeToString(digest[:nameBytes])}, nil
		}
	}
	// A string that is not one of our own words can be the token, so the error does not repeat it.
	return scopedToken{}, errors.New("is not of the form scope=token with one of the scopes ingest, read and admin")
}

var errTwoScopes = errors.New("has the token of another entry with another scope: use a token of its own for each scope")

// with returns the tokens and one more. A token that is among them already is not added again.
func (t Tokens) with(token scopedToken) (Tokens, error) {
	for _, other := range t.scoped {
		if other.digest == token.digest {
			if other.scope != token.scope {
				return t, errTwoScopes
			}
			return t, nil
		}
	}
	return Tokens{scoped: append(t.scoped[:len(t.scoped):len(t.scoped)], token)}, nil
}

// Join returns the tokens of both. It fails if they have the same token with different scopes.
func (t Tokens) Join(others Tokens) (Tokens, error) {
	joined := t
	for i, token := range others.scoped {
		var err error
		if joined, err = joined.with(token); err != nil {
			return Tokens{}, fmt.Errorf("token %d %w", i+1, err)
		}
	}
	return joined, nil
}

// Empty reports whether there are no tokens.
func (t Tokens) Empty() bool { return len(t.scoped) == 0 }

// Identify returns the scope of a token, and a name that distinguishes the token from others. The name is not secret: a token that was made
// at random can't be found from it. An invalid token has the scope [None] and no name.
//
// The time that Identify takes reveals nothing about the valid tokens: the token is compared with all of them, each in constant time. No
// test measures the time: digests are compared, so a time that depends on them would not reveal a token either.
func (t Tokens) Identify(token string) (scope Scope, name string) {
	if len(token) > maxTokenBytes {
		return None, ""
	}
	digest := sha256.Sum256([]byte(token))
	found := -1
	for i := range t.scoped {
		same := subtle.ConstantTimeCompare(t.scoped[i].digest[:], digest[:])
		found = subtle.ConstantTimeSelect(same, i, found)
	}
	if found < 0 {
		return None, ""
	}
	return t.scoped[found].scope, t.scoped[found].name
}

// Current holds the tokens that are valid at the moment. The zero value has none. It is safe for concurrent use.
type Current struct {
	tokens atomic.Pointer[Tokens]
}

// Set replaces the valid tokens, from the next call of Identify on.
func (c *Current) Set(tokens Tokens) { c.tokens.Store(&tokens) }

// Identify is like [Tokens.Identify].
func (c *Current) Identify(token string) (scope Scope, name string) {
	tokens := c.tokens.Load()
	if tokens == nil {
		return None, ""
	}
	return tokens.Identify(token)
}
