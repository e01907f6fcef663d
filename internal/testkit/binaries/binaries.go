// Package binaries builds the commands that tests run as separate processes.
//
// It opens the folders of all packages of a command while a test runs, because go test records opened folders. So go test does not reuse a
// cached result after a service has changed that the test's package does not import.
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

// Commands are commands of this repository. They are built at the first call of Path.
type Commands struct {
	folders []string
	once    sync.Once
	built   string
	err     error
}

// New returns the commands in those folders of the repository.
func New(folders ...string) *Commands { return &Commands{folders: folders} }

// Path returns the path of the command with that name, which is the last element of its folder. It is safe for concurrent use.
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
	// The tests of the tools run in another module, which may have newer versions of the dependencies.
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

// Main returns a runner of a package's tests. It runs m, which may be a [testing.M], and then removes the commands.
func (c *Commands) Main(tests interface{ Run() int }) interface{ Run() int } { return runner{c, tests} }

type runner struct {
	commands *Commands
	tests    interface{ Run() int }
}

// Run runs the tests and returns the exit status.
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
