package settings_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ticketbridge/ticketbridge/internal/settings"
)

// chanWriter sends each write to a channel.
type chanWriter chan string

func (c chanWriter) Write(line []byte) (int, error) {
	c <- string(line)
	return len(line), nil
}

func TestLog_New_writerStuck(t *testing.T) {
	t.Parallel()
	for format, want := range map[string]string{"text": `level=WARN msg="log lines were dropped`, "json": `"level":"WARN","msg":"log lines`} {
		synctest.Test(t, func(t *testing.T) {
			w := make(chanWriter)
			log := settings.Log{LogFormat: format}.New(settings.Program{Name: "gateway"}, w)
			begin := time.Now()
			log.Info("first")
			if took := time.Since(begin); took != time.Second {
				t.Errorf("%s: the first line was waited for %v, want 1s", format, took)
			}
			for range 100 {
				log.Info("dropped")
			}
			if took := time.Since(begin); took != time.Second {
				t.Errorf("%s: with 100 more lines it took %v, want 1s", format, took)
			}
			if line := <-w; !strings.Contains(line, "first") {
				t.Errorf("%s: got %q, want the first line", format, line)
			}
			synctest.Wait()
			go log.Info("last")
			got := <-w
			lines := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
			if len(lines) != 2 || !strings.Contains(lines[0], want) || !strings.Contains(lines[0], "100") ||
				!strings.Contains(lines[1], "last") {
				t.Errorf("%s: got %q, want a warning of 100 dropped lines, and the last line", format, got)
			}
		})
	}
}

func TestLog_level(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]bool{"debug": true, "info": true, "warn": false, "ERROR": false} {
		var log settings.Log
		if _, _, err := parseInto(&log, nil, "--log-level="+word); err != nil {
			t.Fatal(err)
		}
		var lines strings.Builder
		log.New(settings.Program{Name: "example"}, &lines).Info("a line")
		if got := lines.Len() > 0; got != want {
			t.Errorf("%s: an info line is written: %v, want %v", word, got, want)
		}
	}
	var log settings.Log
	_, _, err := parseInto(&log, nil, "--log-level=verbose")
	if want := `--log-level / EXAMPLE_LOG_LEVEL: "verbose" is not a level: use debug, info, warn or error (`; err == nil ||
		!strings.HasPrefix(err.Error(), want) {
		t.Errorf("error %v, want one that begins with %s", err, want)
	}
}
