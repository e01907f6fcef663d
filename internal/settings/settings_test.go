package settings_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
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
	var out bytes.Buffer
	err := settings.Program{Name: "example", Description: "An example.", EnvPrefix: "EXAMPLE", Args: args, Stdout: &out,
		LookupEnv: func(name string) (string, bool) { value, ok := env[name]; return value, ok }}.Parse(&into)
	return into, out.String(), err
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

func TestParseSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		env  map[string]string
		args []string
		want string
	}{
		"an unknown flag":        {nil, []string{"--lissten=x"}, "--lissten"},
		"a bad flag":             {nil, []string{"--timeout=soon"}, "--timeout"},
		"a bad variable":         {map[string]string{"EXAMPLE_TIMEOUT": "soon"}, nil, "--timeout / EXAMPLE_TIMEOUT: "},
		"an argument too many":   {nil, []string{"--names", "a", "secret"}, "need quotes"},
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

func TestHelpListsEverySettingWithItsVariableAndDefault(t *testing.T) {
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

func TestSecrets(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "secrets")
	if err := os.WriteFile(file, []byte("two\n\n three \r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := settings.Secrets([]string{"one", " "}, file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"one", "two", "three"}, got); diff != "" {
		t.Error(diff)
	}
	if _, err := settings.Secrets(nil, file+"-missing"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}
