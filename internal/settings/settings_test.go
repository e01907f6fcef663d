package settings_test

import (
	"bytes"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ticketbridge/ticketbridge/internal/settings"
)

type example struct {
	Listen  string        `default:"127.0.0.1:1" help:"Where to listen."`
	Timeout time.Duration `default:"2m" help:"How long."`
	Names   []string      `help:"Names, comma-separated."`
}

func parse(t *testing.T, env map[string]string, args ...string) (example, string, error) {
	t.Helper()
	var into example
	out, _, err := parseInto(&into, env, args...)
	return into, out, err
}

func parseInto(into any, env map[string]string, args ...string) (out, command string, err error) {
	var stdout bytes.Buffer
	var environ []string
	for name, value := range env {
		environ = append(environ, name+"="+value)
	}
	command, err = settings.Program{Name: "example", Description: "An example.", EnvPrefix: "EXAMPLE", Args: args, Environ: environ,
		IgnoredVariables: []string{"EXAMPLE_REMOVED"}, Stdout: &stdout}.Parse(into)
	return stdout.String(), command, err
}

type exampleWithCommands struct {
	Serve   example `cmd:"" default:"withargs" help:"Serve."`
	Explain struct {
		Timeout time.Duration `default:"3m" help:"How long."`
		JSON    bool          `name:"json" noenv:"" help:"As JSON."`
		Files   []string      `arg:"" help:"Files."`
	} `cmd:"" help:"Explain files."`
	List struct {
		Export struct {
			File string `arg:"" help:"File."`
		} `cmd:"" help:"Export."`
	} `cmd:"" help:"Lists."`
}

func TestParse_commands(t *testing.T) {
	t.Parallel()
	env := map[string]string{"EXAMPLE_TIMEOUT": "1s"}
	for name, test := range map[string]struct {
		args    []string
		command string
		check   func(exampleWithCommands) bool
	}{
		"none": {nil, "serve", func(e exampleWithCommands) bool { return e.Serve.Timeout == time.Second }},
		"none, with a flag": {[]string{"--listen=x"}, "serve",
			func(e exampleWithCommands) bool { return e.Serve.Listen == "x" && e.Serve.Timeout == time.Second }},
		"the default by its name": {[]string{"serve", "--listen=x"}, "serve", func(e exampleWithCommands) bool { return e.Serve.Listen == "x" }},
		"another": {[]string{"explain", "a", "b"}, "explain",
			func(e exampleWithCommands) bool {
				return len(e.Explain.Files) == 2 && e.Explain.Timeout == time.Second && !e.Explain.JSON
			}},
		"one of another": {[]string{"list", "export", "a"}, "list export",
			func(e exampleWithCommands) bool { return e.List.Export.File == "a" }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var into exampleWithCommands
			_, command, err := parseInto(&into, env, test.args...)
			if err != nil || command != test.command || !test.check(into) {
				t.Errorf("command %q, error %v, settings %+v; want command %q", command, err, into, test.command)
			}
		})
	}
	var into exampleWithCommands
	if _, _, err := parseInto(&into, nil, "explain"); err == nil || strings.Contains(err.Error(), "\n") ||
		!strings.Contains(err.Error(), "<files>") || !strings.Contains(err.Error(), "example explain --help") {
		t.Errorf("a command without its argument: error %v, want one line that names the argument and the command's help", err)
	}
	if _, _, err := parseInto(&into, nil, "list", "export"); err == nil || !strings.Contains(err.Error(), "example list export --help") {
		t.Errorf("a command of another without its argument: error %v, want one that names the command's help", err)
	}
	if _, _, err := parseInto(&into, nil, "--lissten=x"); err == nil || !strings.Contains(err.Error(), "example --help") {
		t.Errorf("no command and an unknown flag: error %v, want one that names the program's help", err)
	}
	for _, args := range [][]string{{"explian", "a"}, {"version"}} {
		_, _, err := parseInto(&into, nil, args...)
		for _, want := range []string{"not a command", "serve, explain, list, or --version", "example --help"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q, which is not a command: error %v, want one with %q", args, err, want)
			}
		}
	}
	// An argument after a flag's value may be a part of a secret.
	if _, _, err := parseInto(&into, nil, "--names", "a", "secret"); err == nil || !strings.Contains(err.Error(), "in quotes") ||
		strings.Contains(err.Error(), "secret") {
		t.Errorf("an argument after a flag: error %v, want one without the argument", err)
	}
}

func TestParse_version(t *testing.T) {
	t.Parallel()
	for _, flag := range []string{"--version", "-v"} {
		var into exampleWithCommands
		// It is reported whatever else is wrong.
		out, _, err := parseInto(&into, map[string]string{"EXAMPLE_LISSTEN": "x"}, flag)
		if !errors.Is(err, settings.ErrHelp) || !strings.HasPrefix(out, "example ") || strings.Count(out, "\n") != 1 ||
			!strings.Contains(out, runtime.Version()) {
			t.Errorf("%s printed %q with error %v, want one line with the program's name and Go's version, and ErrHelp", flag, out, err)
		}
	}
}

func TestParse_unknownVariables(t *testing.T) {
	t.Parallel()
	var into exampleWithCommands
	_, _, err := parseInto(&into, map[string]string{
		"EXAMPLE_LISTEN": "x", "EXAMPLE_TIMEOUT": "soon", "EXAMPLE_LISSTEN": "secret", "EXAMPLE_JSON": "true", "EXAMPLE_PORT": "8080",
		"EXAMPLES_LISTEN": "another program's", "OTHER": "x", "EXAMPLE_REMOVED": "x",
		// These are the variables that Kubernetes sets for the Services example and example-admin.
		"EXAMPLE_SERVICE_HOST": "10.0.0.1", "EXAMPLE_SERVICE_PORT": "80", "EXAMPLE_SERVICE_PORT_HTTP": "80",
		"EXAMPLE_ADMIN_PORT": "tcp://10.0.0.1:80", "EXAMPLE_ADMIN_PORT_80_TCP": "tcp://10.0.0.1:80", "EXAMPLE_ADMIN_PORT_80_TCP_PROTO": "tcp",
		"EXAMPLE_ADMIN_PORT_80_TCP_PORT": "80", "EXAMPLE_ADMIN_PORT_80_TCP_ADDR": "10.0.0.1",
	})
	if err == nil {
		t.Fatal("no error")
	}
	lines := strings.Split(err.Error(), "\n")
	wants := []string{"EXAMPLE_TIMEOUT: ", "EXAMPLE_JSON is not a setting", "EXAMPLE_LISSTEN is not a setting",
		"EXAMPLE_PORT is not a setting"}
	if len(lines) != len(wants) || strings.Contains(err.Error(), "secret") {
		t.Fatalf("error\n%v\nwant %d lines, without a value", err, len(wants))
	}
	for i, want := range wants {
		if !strings.Contains(lines[i], want) || !strings.Contains(lines[i], "example --help") {
			t.Errorf("line %q, want one with %q that names the help", lines[i], want)
		}
	}
}

func TestParse_helpOfCommands(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args         []string
		want, absent []string
	}{
		"the program": {[]string{"--help"},
			[]string{"An example.", "--listen", "$EXAMPLE_LISTEN", "explain", "Explain files."}, []string{"$EXAMPLE_JSON"}},
		"a command": {[]string{"explain", "--help"},
			[]string{"--timeout", "$EXAMPLE_TIMEOUT", "3m", "--json", "<files>"}, []string{"--listen", "$EXAMPLE_JSON"}},
	} {
		var into exampleWithCommands
		help, _, err := parseInto(&into, nil, test.args...)
		if !errors.Is(err, settings.ErrHelp) {
			t.Errorf("%s: error %v, want ErrHelp", name, err)
		}
		for _, want := range test.want {
			if !strings.Contains(help, want) {
				t.Errorf("%s: help lacks %q:\n%s", name, want, help)
			}
		}
		for _, absent := range test.absent {
			if strings.Contains(help, absent) {
				t.Errorf("%s: help has %q:\n%s", name, absent, help)
			}
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	env := map[string]string{"EXAMPLE_LISTEN": "127.0.0.1:2", "EXAMPLE_NAMES": "a,b"}
	tests := map[string]struct {
		env  map[string]string
		args []string
		want example
	}{
		"defaults":        {nil, nil, example{"127.0.0.1:1", 2 * time.Minute, nil}},
		"the environment": {env, nil, example{"127.0.0.1:2", 2 * time.Minute, []string{"a", "b"}}},
		"a flag goes before the environment": {env, []string{"--listen", "127.0.0.1:3", "--timeout=1s"},
			example{"127.0.0.1:3", time.Second, []string{"a", "b"}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, _, err := parse(t, test.env, test.args...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParse_wrong(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		env  map[string]string
		args []string
		want string
	}{
		"an unknown flag":        {nil, []string{"--lissten=x"}, "--lissten"},
		"a bad flag":             {nil, []string{"--timeout=soon"}, "--timeout"},
		"a bad variable":         {map[string]string{"EXAMPLE_TIMEOUT": "soon"}, nil, "--timeout / EXAMPLE_TIMEOUT: "},
		"an argument too many":   {nil, []string{"--names", "a", "secret"}, "in quotes"},
		"a flag without a value": {nil, []string{"--listen"}, "--listen"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := parse(t, test.env, test.args...)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") ||
				strings.Contains(err.Error(), "secret") {
				t.Errorf("error %v, want one line with %q and without what may be secret", err, test.want)
			}
		})
	}
}

func TestParse_help(t *testing.T) {
	t.Parallel()
	_, help, err := parse(t, nil, "--help")
	if !errors.Is(err, settings.ErrHelp) {
		t.Errorf("error %v, want ErrHelp", err)
	}
	for _, want := range []string{"An example.", "--listen", "$EXAMPLE_LISTEN", "127.0.0.1:1", "--timeout", "$EXAMPLE_TIMEOUT", "2m"} {
		if !strings.Contains(help, want) {
			t.Errorf("help lacks %q:\n%s", want, help)
		}
	}
}
