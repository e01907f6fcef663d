// Package binaries builds the commands that tests run as processes of their own.
//
// It opens the folders of all packages that they are made of while a test runs, which go test takes note of: so it does not take a result
// for good any more once a service has changed that the test's own package does not import.
package binaries

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/ticketbridge/ticketbridge"

// Commands are commands of this repository, which are built when the first one is asked for.
type Commands struct {
	folders []string
	once    sync.Once
	built   string
	err     error
}

// New returns the commands in these folders of the repository.
func New(folders ...string) *Commands { return &Commands{folders: folders} }

// Path returns the path of the command with that name, which is the last part of its folder. It may be called by any number of tests at the
// same time.
func (c *Commands) Path(t testing.TB, name string) string {
	t.Helper()
	c.once.Do(func() { c.err = c.build() })
	if c.err != nil {
		t.Fatal(c.err)
	}
	return filepath.Join(c.built, name)
}

func (c *Commands) build() (err error) {
	if c.built, err = os.MkdirTemp("", "ticketbridge-commands-"); err != nil {
		return err
	}
	// The tests of the tools run in a module of their own, which may have newer versions of the dependencies.
	root, err := runGo("list", "-m", "-f", "{{.Dir}}", module)
	if err != nil {
		return err
	}
	in := []string{"-C", strings.TrimSpace(root)}
	var packages []string
	for _, folder := range c.folders {
		packages = append(packages, module+"/"+folder)
	}
	if _, err := runGo("build", slices.Concat(in, []string{"-o", c.built + string(filepath.Separator)}, packages)...); err != nil {
		return err
	}
	ours := []string{"-deps", "-f", "{{with .Module}}{{if .Main}}{{$.Dir}}{{end}}{{end}}"}
	sources, err := runGo("list", slices.Concat(in, ours, packages)...)
	if err != nil {
		return err
	}
	for source := range strings.Lines(sources) {
		if source = strings.TrimSpace(source); source == "" {
			continue
		}
		if _, err := os.ReadDir(source); err != nil {
			return err
		}
	}
	return nil
}

// Main returns what runs a package's tests, which may be a [testing.M], and removes the commands after them.
func (c *Commands) Main(tests interface{ Run() int }) interface{ Run() int } { return runner{c, tests} }

type runner struct {
	commands *Commands
	tests    interface{ Run() int }
}

// Run returns the status to exit with.
func (r runner) Run() int {
	status := r.tests.Run()
	if r.commands.built == "" {
		return status
	}
	if err := os.RemoveAll(r.commands.built); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(status, 1)
	}
	return status
}

func runGo(name string, args ...string) (printed string, err error) {
	command := exec.Command("go", append([]string{name}, args...)...)
	var failure bytes.Buffer
	command.Stderr = &failure
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w: %s", name, err, &failure)
	}
	return string(out), nil
}
