// Package architecture_test checks what the linter can't: imports through other packages, that the linter's rules of imports name folders
// that exist, and that each package has a comment. The rules of direct imports are in .golangci.yml, under depguard.
package architecture_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/ticketbridge/ticketbridge/"

type goPackage struct {
	ImportPath string
	Doc        string
	GoFiles    []string
	Deps       []string
}

// packages returns all packages of the module.
func packages(t *testing.T) []goPackage {
	t.Helper()
	command := exec.Command("go", "list", "-json=ImportPath,Doc,GoFiles,Deps", module+"...")
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	var all []goPackage
	for decoder := json.NewDecoder(out); ; {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if err := command.Wait(); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestLinterSettings_nameFoldersThatExist finds rules of imports that check nothing because their folder or package was moved.
func TestLinterSettings_nameFoldersThatExist(t *testing.T) {
	t.Parallel()
	settings, err := os.ReadFile("../../.golangci.yml")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`(?:\$\{config-path\}/|`+regexp.QuoteMeta(module)+`)([a-z0-9/]*[a-z0-9])`).FindAllSubmatch(settings, -1)
	if len(names) == 0 {
		t.Fatal(".golangci.yml has no rules of imports")
	}
	for _, name := range names {
		if info, err := os.Stat("../../" + string(name[1])); err != nil || !info.IsDir() {
			t.Errorf(".golangci.yml names %s, which is no folder", name[0])
		}
	}
}

// explainAvoids are the packages without which `gateway explain` must do: it works from a body alone.
var explainAvoids = []string{
	module + "gateway/internal/sqlite", module + "gateway/internal/postgres", module + "gateway/internal/forwarder",
}

func TestExplain_needsNoDatabaseAndNoTicketsvc(t *testing.T) {
	t.Parallel()
	all := packages(t)
	i := slices.IndexFunc(all, func(p goPackage) bool { return p.ImportPath == module+"gateway/internal/explain" })
	if i < 0 {
		t.Fatal("there is no package gateway/internal/explain")
	}
	for _, dep := range all[i].Deps {
		if slices.Contains(explainAvoids, dep) {
			t.Errorf("%s depends on %s", all[i].ImportPath, dep)
		}
	}
}

func TestPackages_haveAComment(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		generated := strings.HasPrefix(p.ImportPath, module+"gen/")
		onlyTests := len(p.GoFiles) == 0
		if p.Doc == "" && !generated && !onlyTests {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}
