package tickettest

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"testing"
)

// CheckSteps fails when the scripts of a schema's steps are not just those with these digests: databases were made by them. A digest is the
// first 16 digits of SHA-256.
func CheckSteps(t *testing.T, scripts, digests []string) {
	t.Helper()
	got := make([]string, len(scripts))
	for i, script := range scripts {
		sum := sha256.Sum256([]byte(script))
		got[i] = hex.EncodeToString(sum[:])[:16]
	}
	if !slices.Equal(got, digests) {
		t.Errorf("the steps have the digests %q, want %q: add a step, with its digest, and change none", got, digests)
	}
}
