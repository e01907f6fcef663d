package postgresserver_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresserver"
)

// mustInstall creates a folder with programs of these names.
func mustInstall(t *testing.T, folder string, names ...string) {
	t.Helper()
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(folder, name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFind_followsALinkInPath(t *testing.T) {
	installed := t.TempDir()
	mustInstall(t, installed, "initdb", "postgres")
	path := t.TempDir()
	if err := os.Symlink(filepath.Join(installed, "initdb"), filepath.Join(path, "initdb")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", path)
	found, err := postgresserver.Find()
	if err != nil {
		t.Fatal(err)
	}
	// The path of the temporary folder may contain a link.
	want, err := filepath.EvalSymlinks(installed)
	if err != nil {
		t.Fatal(err)
	}
	if found != want {
		t.Errorf("found %s, want %s", found, want)
	}
}

func TestNewest(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	folder := func(version string) string { return filepath.Join(root, version, "bin") }
	for _, version := range []string{"9.6", "10", "15", "some"} {
		mustInstall(t, folder(version), "initdb", "postgres")
	}
	// Only the client is installed.
	mustInstall(t, folder("16"), "psql")
	if found, err := postgresserver.Newest(folder("*")); err != nil || found != folder("15") {
		t.Errorf("found %q (%v), want that of 15", found, err)
	}
	if _, err := postgresserver.Newest(filepath.Join(root, "*", "none")); !errors.Is(err, postgresserver.ErrNotInstalled) {
		t.Errorf("where there is none: %v, want ErrNotInstalled", err)
	}
}
