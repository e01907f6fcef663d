package inboxtest

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"
)

// CheckMigrations fails if the steps of a schema do not have these digests. Databases that were made by any step hold acknowledged
// deliveries.
func CheckMigrations(t *testing.T, scripts, digests []string) {
	t.Helper()
	got := make([]string, len(scripts))
	for i, script := range scripts {
		got[i] = fmt.Sprintf("%x", sha256.Sum256([]byte(script)))[:16]
	}
	if !slices.Equal(got, digests) {
		t.Errorf("the steps have the digests %q, want %q: add a step, with its digest, and change none", got, digests)
	}
}
