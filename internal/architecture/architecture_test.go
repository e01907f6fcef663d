// Package architecture_test holds the direction of imports: the rules know no machinery, and the services know nothing of each other.
package architecture_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/ticketbridge/ticketbridge/"

type goPackage struct {
	ImportPath string
	Doc        string
	GoFiles    []string
	Imports    []string
	Deps       []string
}

// packages returns all packages of the module.
func packages(t *testing.T) []goPackage {
	t.Helper()
	command := exec.Command("go", "list", "-json=ImportPath,Doc,GoFiles,Imports,Deps", module+"...")
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

// rules are the packages that say what things are, with what they may import beside the standard library. What of the standard library
// they may not import is in machinery.
var rules = map[string][]string{
	module + "ticketsvc/internal/ticket":     {module + "internal/groupcommit", module + "internal/id", "golang.org/x/text/unicode/norm"},
	module + "ticketsvc/internal/watch":      {module + "ticketsvc/internal/rpc/limits", module + "ticketsvc/internal/ticket"},
	module + "ticketsvc/internal/rpc/limits": nil,
	module + "gateway/internal/inbox":        {module + "internal/groupcommit"},
	module + "gateway/internal/event": {module + "internal/id", module + "internal/elements", module + "internal/ticketfields",
		"github.com/go-json-experiment/json/jsontext", module + "gen/allthings/ticket/v1",
		"google.golang.org/protobuf/types/known/fieldmaskpb", "google.golang.org/protobuf/types/known/timestamppb"},
	module + "gateway/internal/signature": nil,
	module + "internal/credentials":       nil,
	module + "internal/logthrottle":       nil,
	module + "internal/id":                nil,
	module + "internal/ticketfields":      nil,
}

var machinery = []string{"database/sql", "net", "net/http", "os", "log/slog"}

func TestRulesImportNoMachinery(t *testing.T) {
	t.Parallel()
	found := 0
	for _, p := range packages(t) {
		allowed, isRule := rules[p.ImportPath]
		if !isRule {
			continue
		}
		found++
		for _, path := range p.Imports {
			standard := !strings.Contains(strings.Split(path, "/")[0], ".")
			if standard && slices.Contains(machinery, path) || !standard && !slices.Contains(allowed, path) {
				t.Errorf("%s imports %s: the rules stand apart from machinery", p.ImportPath, path)
			}
		}
	}
	if found != len(rules) {
		t.Errorf("%d of %d packages of rules were found", found, len(rules))
	}
}

// fronts are the ways in and out of each service, of which the packages that keep things know nothing: those that implement a store, and
// the bytes that these keep.
var fronts = map[string][]string{
	module + "ticketsvc/internal/sqlite":      {module + "ticketsvc/internal/ticketpb", module + "ticketsvc/internal/rpc"},
	module + "ticketsvc/internal/postgres":    {module + "ticketsvc/internal/ticketpb", module + "ticketsvc/internal/rpc"},
	module + "ticketsvc/internal/ticketcodec": {module + "ticketsvc/internal/ticketpb", module + "ticketsvc/internal/rpc"},
	module + "gateway/internal/sqlite":        {module + "gateway/internal/webhook", module + "gateway/internal/forwarder"},
	module + "gateway/internal/postgres":      {module + "gateway/internal/webhook", module + "gateway/internal/forwarder"},
}

func TestStoresKnowNothingOfTheFronts(t *testing.T) {
	t.Parallel()
	all := packages(t)
	exists := func(path string) bool {
		return slices.ContainsFunc(all, func(p goPackage) bool { return p.ImportPath == path })
	}
	for store, its := range fronts {
		for _, path := range append([]string{store}, its...) {
			if !exists(path) {
				t.Errorf("there is no package %s", path)
			}
		}
	}
	for _, p := range all {
		for _, dep := range p.Deps {
			if slices.Contains(fronts[p.ImportPath], dep) {
				t.Errorf("%s depends on %s: a store serves the rules alone", p.ImportPath, dep)
			}
		}
	}
}

// explainAvoids are the packages without which `gateway explain` must do: it works from a body alone.
var explainAvoids = []string{
	module + "gateway/internal/sqlite", module + "gateway/internal/postgres", module + "gateway/internal/forwarder",
}

func TestExplainNeedsNoDatabaseAndNoTicketsvc(t *testing.T) {
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

func TestServicesKnowNothingOfEachOther(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		for _, dep := range p.Deps {
			for _, pair := range [][2]string{{"gateway/", "ticketsvc/"}, {"ticketsvc/", "gateway/"}, {"internal/", "gateway/"},
				{"internal/", "ticketsvc/"}} {
				if strings.HasPrefix(p.ImportPath, module+pair[0]) && strings.HasPrefix(dep, module+pair[1]) {
					t.Errorf("%s depends on %s", p.ImportPath, dep)
				}
			}
		}
	}
}

func TestProductImportsNoTestCode(t *testing.T) {
	t.Parallel()
	const testkit = module + "internal/testkit/"
	for _, p := range packages(t) {
		for _, path := range p.Imports {
			if strings.HasPrefix(path, testkit) && !strings.HasPrefix(p.ImportPath, testkit) {
				t.Errorf("%s imports %s: only tests, tools and the test kit itself may", p.ImportPath, path)
			}
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		generated := strings.HasPrefix(p.ImportPath, module+"gen/")
		onlyTests := len(p.GoFiles) == 0
		if p.Doc == "" && !generated && !onlyTests {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}
