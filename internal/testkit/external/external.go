// Package external gives tests what callers in other languages, and at a command line, call ticketsvc with, and what they call it
// through.
//
// Where a machine has no Node.js, no gRPC for Python, or no nginx, the tests that need it are skipped, unless TEST_CLIENTS_REQUIRED is set
// to anything, as CI does: then they fail.
package external

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gofrs/flock"
)

const requiredEnv = "TEST_CLIENTS_REQUIRED"

// Required tells whether a test must fail, rather than be skipped, where the machine has not what it needs.
func Required() bool { return os.Getenv(requiredEnv) != "" }

// limit bounds one step of making something ready. The first time, buf or grpcurl is built, and packages come over the network.
const limit = 9 * time.Minute

// Node returns the command that Node.js is run with, and the folder clients/typescript, in which everything is made: a program of
// src/main.ts is dist/src/main.js.
func Node(t testing.TB) (node, folder string) {
	t.Helper()
	node = find(t, "clients/find-node.sh")
	mustMake(t, "client-typescript", "clients/typescript")
	return node, filepath.Join(root(t), "clients", "typescript")
}

// Python returns the command that a Python with gRPC is run with, and the folder clients/python, in which everything is made.
func Python(t testing.TB) (python, folder string) {
	t.Helper()
	python = find(t, "clients/find-python.sh")
	mustMake(t, "client-python", "clients/python")
	return python, filepath.Join(root(t), "clients", "python")
}

// Nginx returns the path of nginx.
func Nginx(t testing.TB) string {
	t.Helper()
	return find(t, "clients/find-nginx.sh")
}

// Buf returns the path of buf.
func Buf(t testing.TB) string {
	t.Helper()
	return strings.TrimSpace(mustRun(t, "go", "tool", "-n", "buf"))
}

// Grpcurl returns the path of grpcurl.
func Grpcurl(t testing.TB) string {
	t.Helper()
	return strings.TrimSpace(mustRun(t, "go", "-C", "internal/tools", "tool", "-n", "grpcurl"))
}

// find returns what a script finds. Where it finds nothing the test ends.
func find(t testing.TB, script string) string {
	t.Helper()
	var missing bytes.Buffer
	command := exec.CommandContext(t.Context(), filepath.Join(root(t), script))
	command.Stderr = &missing
	found, err := command.Output()
	switch {
	case err == nil:
		return strings.TrimSpace(string(found))
	case !Required():
		t.Skip(strings.TrimSpace(missing.String()))
	default:
		t.Fatalf("%v: %s", err, &missing)
	}
	return ""
}

// making is held while make runs, by this process and by others that test at the same time.
var making sync.Mutex

// mustMake makes a target of the Makefile, from what is in the folder sources and in proto.
func mustMake(t testing.TB, target, sources string) {
	t.Helper()
	noteSources(t, sources, "proto/allthings/ticket")
	making.Lock()
	defer making.Unlock()
	lock := flock.New(filepath.Join(root(t), "clients", ".making"))
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if _, err := lock.TryLockContext(ctx, 100*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Unlock() }()
	mustRun(t, "make", "--silent", target)
}

// noteSources looks at all files from which something is made, so that go test runs the test again once one of them has changed.
func noteSources(t testing.TB, folders ...string) {
	t.Helper()
	for _, folder := range folders {
		err := filepath.WalkDir(filepath.Join(root(t), folder), func(path string, entry fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case entry.IsDir() && made[entry.Name()]:
				return fs.SkipDir
			case !entry.IsDir():
				_, err = os.ReadFile(path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// made are the folders that are no sources.
var made = map[string]bool{"node_modules": true, "gen": true, "dist": true, "allthings": true, "__pycache__": true, ".mypy_cache": true}

// mustRun runs a command in the repository, and returns what it prints.
func mustRun(t testing.TB, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	command := exec.CommandContext(ctx, name, args...)
	command.Dir = root(t)
	// A test is often run by make, whose settings are not for this one.
	command.Env = append(os.Environ(), "MAKEFLAGS=", "MAKELEVEL=")
	var failure bytes.Buffer
	command.Stderr = &failure
	printed, err := command.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, printed, &failure)
	}
	return string(printed)
}

// root returns the repository's folder: the nearest above the test's that has a Makefile.
func root(t testing.TB) string {
	t.Helper()
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(folder, "Makefile")); err == nil {
			return folder
		}
		above := filepath.Dir(folder)
		if above == folder {
			t.Fatal("the test does not run inside the repository")
		}
		folder = above
	}
}
