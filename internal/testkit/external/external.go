// Package external finds and builds the programs with which tests call ticketsvc: clients in other languages, command-line clients, and a
// proxy.
//
// If the machine has no Node.js, no gRPC for Python, or no nginx, the tests that need it are skipped. If TEST_CLIENTS_REQUIRED is not
// empty, as in CI, these tests fail instead.
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

// Required reports whether a test must fail, instead of being skipped, if the machine lacks a program.
func Required() bool { return os.Getenv(requiredEnv) != "" }

// limit is the maximum time of one step of the preparation. The first time, buf or grpcurl is built, and packages are downloaded.
const limit = 9 * time.Minute

// Node returns the path of Node.js, and the folder clients/typescript after everything in it has been built. The program of src/main.ts is
// dist/src/main.js.
func Node(t testing.TB) (node, folder string) {
	t.Helper()
	node = find(t, "clients/find-node.sh")
	mustMake(t, "client-typescript", "clients/typescript")
	return node, filepath.Join(root(t), "clients", "typescript")
}

// Python returns the path of a Python with gRPC, and the folder clients/python after everything in it has been generated.
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

// find returns the path that a script prints. If the script finds nothing, the test ends.
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

// makeMutex is held while make runs in this process. A lock file keeps other processes out.
var makeMutex sync.Mutex

// mustMake makes a target of the Makefile. Its inputs are in the folder sources and in proto.
func mustMake(t testing.TB, target, sources string) {
	t.Helper()
	noteSources(t, sources, "proto/allthings/ticket")
	makeMutex.Lock()
	defer makeMutex.Unlock()
	lock := flock.New(filepath.Join(root(t), "clients", ".making"))
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if _, err := lock.TryLockContext(ctx, 100*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Unlock() }()
	mustRun(t, "make", "--silent", target)
}

// noteSources opens all inputs of a target, so that go test does not reuse a cached result after an input has changed.
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

// made are the folders that are built, so they are not inputs.
var made = map[string]bool{"node_modules": true, "gen": true, "dist": true, "allthings": true, "__pycache__": true, ".mypy_cache": true}

// mustRun runs a command in the repository, and returns its output.
func mustRun(t testing.TB, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	command := exec.CommandContext(ctx, name, args...)
	command.Dir = root(t)
	// Tests are often run by make. Its settings must not reach this make.
	command.Env = append(os.Environ(), "MAKEFLAGS=", "MAKELEVEL=")
	var failure bytes.Buffer
	command.Stderr = &failure
	printed, err := command.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, printed, &failure)
	}
	return string(printed)
}

// root returns the repository's folder: the nearest folder above the test's with a Makefile.
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
