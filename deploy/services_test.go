// Package deploy_test tests the scripts that run services on one machine.
package deploy_test

import (
	"bufio"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestServices_oneEnds runs two services, of which one ends by itself, and expects a last line that names it.
func TestServices_oneEnds(t *testing.T) {
	t.Parallel()
	script, err := filepath.Abs("services.sh")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		first  string
		signal syscall.Signal
		how    string
		status int
	}{
		"killed":          {"sleep 1000", syscall.SIGKILL, "signal KILL", 137},
		"a wrong setting": {"bash -c 'exit 2'", 0, "status 2", 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			command := exec.CommandContext(t.Context(), "bash", "-c", "set -euo pipefail; source "+script+
				"; start first "+test.first+"; start second sleep 1000; echo ${services[0]}; wait_until_one_ends")
			command.Dir, command.Env = t.TempDir(), append(command.Environ(), "GATEWAY_WEBHOOK_SECRET=made-up-for-the-test")
			var stderr strings.Builder
			command.Stderr = &stderr
			stdout, err := command.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(stdout).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			first, err := strconv.Atoi(strings.TrimSpace(line))
			if err != nil {
				t.Fatal(err)
			}
			if test.signal != 0 {
				if err := syscall.Kill(first, test.signal); err != nil {
					t.Fatal(err)
				}
			}
			if exit := (*exec.ExitError)(nil); !errors.As(command.Wait(), &exit) || exit.ExitCode() != test.status {
				t.Errorf("it ended with %v, want status %d", command.ProcessState, test.status)
			}
			want := fmt.Sprintf("first (process %d) has ended with %s: stopping the others\n", first, test.how)
			if !strings.HasSuffix(stderr.String(), want) {
				t.Errorf("it said\n%s\nwant at the end\n%s", stderr.String(), want)
			}
		})
	}
}
