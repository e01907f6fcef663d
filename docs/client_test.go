package docs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ticketbridge/ticketbridge/internal/testkit/external"
)

// TestAPI_makingAClient follows api.md in another repository, with a release of this one that is on this machine.
func TestAPI_makingAClient(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("protoc"); err != nil && !external.Required() {
		t.Skip("protoc is not installed; on Debian: apt-get install protobuf-compiler")
	}
	page, err := os.ReadFile("api.md")
	if err != nil {
		t.Fatal(err)
	}
	template := regexp.MustCompile("(?s)```yaml\n(# buf.gen.yaml\n.*?)```").FindSubmatch(page)
	if template == nil {
		t.Fatal("api.md has no buf.gen.yaml")
	}
	buf, release, consumer := external.Buf(t), t.TempDir(), t.TempDir()
	mustRun := func(folder, name string, args ...string) {
		t.Helper()
		command := exec.CommandContext(t.Context(), name, args...)
		command.Dir = folder
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
	}
	if err := os.CopyFS(filepath.Join(release, "proto"), os.DirFS("../proto")); err != nil {
		t.Fatal(err)
	}
	mustRun(".", "cp", "../buf.yaml", release)
	mustRun(release, "git", "init", "--quiet")
	mustRun(release, "git", "add", ".")
	mustRun(release, "git", "-c", "user.name=test", "-c", "user.email=test@example.com", "commit", "--quiet", "--message=release")
	mustRun(release, "git", "tag", "v0.1.0")
	content := strings.Replace(string(template[1]), "https://github.com/ticketbridge/ticketbridge.git", "file://"+release+"/.git", 1)
	if err := os.WriteFile(filepath.Join(consumer, "buf.gen.yaml"), []byte(content), 0o666); err != nil {
		t.Fatal(err)
	}
	mustRun(consumer, buf, "generate")
	for _, name := range []string{"Ticket", "WatchTicketsResponse"} {
		if _, err := os.Stat(filepath.Join(consumer, "gen/com/ticketbridge/allthings/ticket/v1", name+".java")); err != nil {
			t.Error(err)
		}
	}
}
