package docs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	headings = regexp.MustCompile(`(?m)^#+ (.*)$`)
	links    = regexp.MustCompile(`\]\(([^)#]*)(?:#([^)]*))?\)`)
)

// slugs returns the anchors that a page's headings have where Markdown is shown.
func slugs(t *testing.T, path string) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	for _, heading := range headings.FindAllStringSubmatch(string(text), -1) {
		slug := strings.ReplaceAll(strings.ToLower(heading[1]), " ", "-")
		all[regexp.MustCompile(`[^\w-]`).ReplaceAllString(slug, "")] = true
	}
	return all
}

func TestEveryLinkOfTheDocumentsLeadsSomewhere(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("*.md")
	if err != nil || len(pages) < 2 {
		t.Fatalf("pages %q, %v", pages, err)
	}
	templates, err := filepath.Glob("../.github/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(append(pages, templates...), "../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range links.FindAllStringSubmatch(string(text), -1) {
			path, anchor := link[1], link[2]
			if strings.HasPrefix(path, "https://") {
				continue
			}
			target := page
			if path != "" {
				target = filepath.Join(filepath.Dir(page), path)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %v", page, err)
			} else if anchor != "" && !slugs(t, target)[anchor] {
				t.Errorf("%s: %s has no heading for #%s", page, target, anchor)
			}
		}
	}
}

// TestPages_namedInCode checks the pages that comments and errors for operators name.
func TestPages_namedInCode(t *testing.T) {
	t.Parallel()
	command := exec.CommandContext(t.Context(), "git", "grep", "-IhoE", `\bdocs/[A-Za-z/-]+\.md(#[a-z-]+)?`, "--", ":(top)*.go",
		":(top)*.sql", ":(top)*.proto", ":(top)Makefile", ":(top)*.sh")
	named, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.FieldsSeq(string(named)) {
		path, anchor, _ := strings.Cut(filepath.Join("..", name), "#")
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if anchor != "" && !slugs(t, path)[anchor] {
			t.Errorf("%s has no such heading", name)
		}
	}
}

// TestPages_nameTestsThatExist checks the tests and benchmarks that the pages name as proof.
func TestPages_nameTestsThatExist(t *testing.T) {
	t.Parallel()
	defined, err := exec.CommandContext(t.Context(), "git", "grep", "-hoE", `^func (Test|Benchmark)[A-Za-z0-9_]+`, "--",
		":(top)*_test.go").Output()
	if err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, "../.github/CONTRIBUTING.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile("`((?:Test|Benchmark)[A-Z]\\w+)`").FindAllStringSubmatch(string(text), -1) {
			if !strings.Contains(string(defined), "func "+name[1]+"\n") {
				t.Errorf("%s: there is no %s", page, name[1])
			}
		}
	}
}

// TestReadme_lines holds the README to a length that a newcomer reads.
func TestReadme_lines(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(text), "\n"); lines > 200 {
		t.Errorf("README.md has %d lines, want at most 200: move some to a page in docs/", lines)
	}
}
