package postgresserver_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresserver"
)

// The test binary is also a program that runs a server in the folder of this variable, and never ends the server.
const folderEnv = "POSTGRESSERVER_TEST_FOLDER"

func TestMain(m *testing.M) {
	if folder, ok := os.LookupEnv(folderEnv); ok {
		os.Exit(runServer(folder))
	}
	goleak.VerifyTestMain(m)
}

// runServer prints the server's address and returns at the end of standard input.
func runServer(folder string) int {
	server, err := postgresserver.Start(context.Background(), postgresserver.Options{Dir: folder})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(server.Address())
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

func TestServer_endsWithTheProcessThatStartedIt(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux ends the server")
	}
	postgresql.RequireBinaries(t)
	for name, end := range map[string]func(*exec.Cmd, io.Closer) error{
		"that is killed": func(starter *exec.Cmd, _ io.Closer) error { return starter.Process.Kill() },
		"that exits":     func(_ *exec.Cmd, input io.Closer) error { return input.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := reachableFolder(t)
			starter, input := startServerIn(t, folder, nil)
			if processesIn(t, folder) == 0 {
				t.Fatal("no process of the server is found while it runs")
			}
			if err := end(starter, input); err != nil {
				t.Fatal(err)
			}
			_ = starter.Wait()
			eventually(t, "all processes of the server end", func() bool { return processesIn(t, folder) == 0 })
		})
	}
}

// If the tests run as root, all other tests run the server as another account than the account that starts it. This test uses one account.
func TestStart_asANonRootAccount(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("all tests run so, unless root runs them")
	}
	if runtime.GOOS != "linux" {
		t.Skip("only Linux ends the server")
	}
	postgresql.RequireBinaries(t)
	const nobody = 65534
	folder := reachableFolder(t)
	if err := os.Chown(folder, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	starter, input := startServerIn(t, folder, &syscall.Credential{Uid: nobody, Gid: nobody})
	if err := input.Close(); err != nil {
		t.Error(err)
	}
	if err := starter.Wait(); err != nil {
		t.Error(err)
	}
	eventually(t, "all processes of the server end", func() bool { return processesIn(t, folder) == 0 })
}

// startServerIn runs this binary as another process, and waits until its server runs. The process has that account, or the same if it is
// nil.
func startServerIn(t *testing.T, folder string, as *syscall.Credential) (*exec.Cmd, io.Closer) {
	t.Helper()
	// The binary is copied, because no other account can reach the folder of go test.
	binary := filepath.Join(folder, "starter")
	if err := copyExecutable(binary); err != nil {
		t.Fatal(err)
	}
	starter := exec.Command(binary)
	starter.Dir, starter.Env, starter.Stderr = folder, append(os.Environ(), folderEnv+"="+folder), os.Stderr
	starter.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	input, err := starter.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := starter.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := starter.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = starter.Process.Kill() })
	if _, err := bufio.NewReader(output).ReadString('\n'); err != nil {
		t.Fatalf("the server did not start: %v", err)
	}
	return starter, input
}

func copyExecutable(path string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	content, err := os.ReadFile(self)
	if err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o755)
}

// processesIn returns the number of processes whose working directory is in a folder, as that of all processes of a server. Only on Linux.
func processesIn(t *testing.T, folder string) int {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, link := range links {
		// An error means that the process has ended, or is of another account.
		if at, err := os.Readlink(link); err == nil && strings.HasPrefix(at, folder+"/") {
			count++
		}
	}
	return count
}
