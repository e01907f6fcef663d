package tickettest

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"testing"
)

// CheckMigrations fails if the scripts of a schema's migrations do not have these digests: existing databases were made by them. A digest
// is the first 16 digits of SHA-256 of the script without comments.
func CheckMigrations(t *testing.T, scripts, digests []string) {
	t.Helper()
	got := make([]string, len(scripts))
	for i, script := range scripts {
		sum := sha256.Sum256([]byte(comment.ReplaceAllString(script, "")))
		got[i] = hex.EncodeToString(sum[:])[:16]
	}
	if !slices.Equal(got, digests) {
		t.Errorf("the migrations have the digests %q, want %q: add a migration, with its digest, and change none", got, digests)
	}
}

// comment matches a comment of SQL. No script has two hyphens elsewhere.
var comment = regexp.MustCompile(`\s*--.*`)
