// Package credentials tells what a caller may do by the token that it shows.
//
// A token is a secret text with a scope. A scope may have several tokens, so that one can be replaced without a moment in which neither
// the old nor the new one counts.
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

// Scope is what a token is for. What it allows is for each service to say.
type Scope uint8

const (
	// None is the scope of whoever shows no token, or one that does not count.
	None Scope = iota
	// Ingest is for the gateway, which brings events.
	Ingest
	// Read is for services that read tickets.
	Read
	// Admin is for operators.
	Admin
)

var scopeNames = map[Scope]string{None: "none", Ingest: "ingest", Read: "read", Admin: "admin"}

// String returns the scope's name as it stands before a token.
func (s Scope) String() string { return scopeNames[s] }

const (
	// minTokenBytes keeps tokens past guessing over a network: sixteen hex digits already stand for 2^64 possibilities, and a token that
	// people make up is hardly ever that long.
	minTokenBytes = 16
	// maxTokenBytes bounds what a caller can make the service hash. The size of a header bounds it too, later.
	maxTokenBytes = 4096
	// maxWrong is how many wrong entries an error names: a file that is no list of tokens has many.
	maxWrong = 10
)

// CheckToken returns an error, which does not hold the token, unless it can be sent as a bearer token and is long enough: 16 to 4096
// bytes of visible ASCII without commas, which stand between tokens.
func CheckToken(token string) error {
	if len(token) < minTokenBytes || len(token) > maxTokenBytes {
		return fmt.Errorf("has %d bytes: use %d to %d, made at random", len(token), minTokenBytes, maxTokenBytes)
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' || r == ',' }) {
		return errors.New("has other characters than visible ASCII without commas: use letters and digits, made at random")
	}
	return nil
}

// grant is a token with its scope. Of the token only the digest is kept: digests are of one length, so that comparing them tells nothing
// of the token's, and what is found in memory can't be sent.
type grant struct {
	digest [sha256.Size]byte
	scope  Scope
	// name is the first nameBytes of the digest, in hex.
	name string
}

// nameBytes is how much of a digest tells tokens apart.
const nameBytes = 8

// Tokens are the tokens that count. The zero value has none. They do not change, so they are safe for concurrent use.
type Tokens struct {
	grants []grant
}

// Parse reads entries of the form scope=token. Whitespace around an entry is dropped, and empty ones are skipped. The error says of the
// first ten wrong entries which they are (the first entry is 1) and what is wrong with them, in one line, and holds nothing that can be a
// token.
func Parse(entries []string) (Tokens, error) {
	var tokens Tokens
	var wrong []string
	for i, entry := range entries {
		entry = strings.TrimSpace(entry)
		if entry == "" {
			continue
		}
		g, err := parseEntry(entry)
		if err == nil {
			tokens, err = tokens.with(g)
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

func parseEntry(entry string) (grant, error) {
	name, token, _ := strings.Cut(entry, "=")
	for _, scope := range []Scope{Ingest, Read, Admin} {
		if name == scope.String() {
			if err := CheckToken(token); err != nil {
				return grant{}, fmt.Errorf("(of scope %s): its token %w", scope, err)
			}
			digest := sha256.Sum256([]byte(token))
			return grant{digest: digest, scope: scope, name: hex.EncodeToString(digest[:nameBytes])}, nil
		}
	}
	// What is not one of our own words can be the token, so the error does not repeat it.
	return grant{}, errors.New("is not of the form scope=token with one of the scopes ingest, read and admin")
}

var errTwoScopes = errors.New("has the token of another entry with another scope: use a token of its own for each scope")

// with returns the tokens with one more. A token that is there already is not taken twice.
func (t Tokens) with(g grant) (Tokens, error) {
	for _, other := range t.grants {
		if other.digest == g.digest {
			if other.scope != g.scope {
				return Tokens{grants: t.grants}, errTwoScopes
			}
			return t, nil
		}
	}
	return Tokens{grants: append(t.grants[:len(t.grants):len(t.grants)], g)}, nil
}

// Join returns both together. It fails when a token has another scope in one than in the other.
func (t Tokens) Join(others Tokens) (Tokens, error) {
	joined := t
	for i, g := range others.grants {
		var err error
		if joined, err = joined.with(g); err != nil {
			return Tokens{}, fmt.Errorf("token %d %w", i+1, err)
		}
	}
	return joined, nil
}

// Empty tells whether there are none.
func (t Tokens) Empty() bool { return len(t.grants) == 0 }

// Identify returns the scope of a token, and a name that tells the token from others and is not secret: nobody gets from it to a token that
// was made at random. A token that does not count has the scope [None] and no name.
//
// The time it takes tells nothing about the tokens that count: all are compared, each in constant time. No test measures it: what is
// compared are digests, so that a shorter way would not lead to a token either.
func (t Tokens) Identify(token string) (scope Scope, name string) {
	if len(token) > maxTokenBytes {
		return None, ""
	}
	digest := sha256.Sum256([]byte(token))
	found := -1
	for i := range t.grants {
		same := subtle.ConstantTimeCompare(t.grants[i].digest[:], digest[:])
		found = subtle.ConstantTimeSelect(same, i, found)
	}
	if found < 0 {
		return None, ""
	}
	return t.grants[found].scope, t.grants[found].name
}

// Current is the tokens that count at the moment. The zero value has none. It is safe for concurrent use.
type Current struct {
	tokens atomic.Pointer[Tokens]
}

// Set makes tokens those that count, from the next call of Identify on.
func (c *Current) Set(tokens Tokens) { c.tokens.Store(&tokens) }

// Identify is as [Tokens.Identify].
func (c *Current) Identify(token string) (scope Scope, name string) {
	tokens := c.tokens.Load()
	if tokens == nil {
		return None, ""
	}
	return tokens.Identify(token)
}
