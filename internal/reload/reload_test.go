package reload_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ticketbridge/ticketbridge/internal/reload"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// look is more than the time between two reads of the files, and less than twice that time.
const look = 2100 * time.Millisecond

// watched is two files that are watched in a bubble with its own time.
type watched struct {
	folder  string
	hangups chan os.Signal

	mu    sync.Mutex
	taken []string
	lines strings.Builder
}

// Write receives a line of the log.
func (w *watched) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lines.Write(line)
}

func (w *watched) log() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lines.String()
}

// watch runs test while the files "a" and "b" are watched, with these initial contents.
func watch(t *testing.T, a, b string, test func(t *testing.T, w *watched)) {
	t.Helper()
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := &watched{folder: folder, hangups: make(chan os.Signal, 1)}
		w.write(t, "a", a)
		w.write(t, "b", b)
		both := []reload.File{{Setting: "--a-file", Path: w.path("a")}, {Setting: "--b-file", Path: w.path("b")}}
		files, err := reload.Load(both, func(contents [][]byte) error {
			text := string(bytes.Join(contents, []byte("|")))
			if strings.Contains(text, "bad") {
				return errors.New("it is bad")
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			w.taken = append(w.taken, text)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var watching sync.WaitGroup
		watching.Go(func() {
			reload.Watch(ctx, []*reload.Files{files}, w.hangups, slog.New(slog.NewTextHandler(w, nil)))
		})
		test(t, w)
		stop()
		watching.Wait()
	})
}

func (w *watched) path(name string) string { return filepath.Join(w.folder, name) }

func (w *watched) write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(w.path(name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// pass lets time pass, and waits until everything that is due has happened.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (w *watched) expect(t *testing.T, taken ...string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if diff := cmp.Diff(taken, w.taken); diff != "" {
		t.Errorf("what should be taken (-) and was (+):\n%s", diff)
	}
}

func TestStart_stableChange(t *testing.T) {
	t.Parallel()
	watch(t, "1", "2", func(t *testing.T, w *watched) {
		pass(5 * look)
		w.expect(t, "1|2")
		w.write(t, "a", "half")
		pass(look)
		w.write(t, "a", "half and half")
		pass(look)
		w.expect(t, "1|2")
		pass(5 * look)
		w.expect(t, "1|2", "half and half|2")
		// The size is the same, and so is the time, as after a copy that keeps the time.
		before, err := os.Stat(w.path("b"))
		if err != nil {
			t.Fatal(err)
		}
		w.write(t, "b", "3")
		if err := os.Chtimes(w.path("b"), before.ModTime(), before.ModTime()); err != nil {
			t.Fatal(err)
		}
		pass(5 * look)
		w.expect(t, "1|2", "half and half|2", "half and half|3")
		// It is a change too if content moves from one file to the other.
		w.write(t, "a", "half and hal")
		w.write(t, "b", "f3")
		pass(5 * look)
		w.expect(t, "1|2", "half and half|2", "half and half|3", "half and hal|f3")
		if lines := strings.Count(w.log(), "\n"); lines != 3 || strings.Count(w.log(), "level=INFO") != 3 {
			t.Errorf("log, want a line for each change:\n%s", w.log())
		}
	})
}

func TestStart_signal(t *testing.T) {
	t.Parallel()
	watch(t, "1", "2", func(t *testing.T, w *watched) {
		w.write(t, "a", "3")
		w.hangups <- syscall.SIGHUP
		synctest.Wait()
		w.expect(t, "1|2", "3|2")
		pass(5 * look)
		w.expect(t, "1|2", "3|2")
	})
}

func TestStart_unusableFile(t *testing.T) {
	t.Parallel()
	watch(t, "1", "2", func(t *testing.T, w *watched) {
		expectErrors := func(want int) {
			t.Helper()
			if got := strings.Count(w.log(), "level=ERROR"); got != want {
				t.Errorf("%d errors in the log, want %d:\n%s", got, want, w.log())
			}
		}
		w.write(t, "a", "bad")
		pass(10 * look)
		expectErrors(1)
		if err := os.Remove(w.path("b")); err != nil {
			t.Fatal(err)
		}
		pass(10 * look)
		expectErrors(2)
		if !strings.Contains(w.log(), `setting="--a-file, --b-file" error="it is bad"`) ||
			!strings.Contains(w.log(), `setting=--b-file error="can't be read`) {
			t.Errorf("the log does not name the settings:\n%s", w.log())
		}
		w.hangups <- syscall.SIGHUP
		synctest.Wait()
		expectErrors(3)
		w.expect(t, "1|2")
		w.write(t, "a", "3")
		w.write(t, "b", "4")
		pass(5 * look)
		w.expect(t, "1|2", "3|4")
		if err := os.Remove(w.path("b")); err != nil {
			t.Fatal(err)
		}
		pass(5 * look)
		expectErrors(4)
		// A pipe that nobody writes to must block nothing.
		if err := syscall.Mkfifo(w.path("b"), 0o600); err != nil {
			t.Fatal(err)
		}
		pass(5 * look)
		expectErrors(5)
		w.expect(t, "1|2", "3|4")
		if strings.Contains(w.log(), w.folder) {
			t.Errorf("the log holds the path, which can be a secret in the wrong setting:\n%s", w.log())
		}
	})
}

// Some editors write a byte order mark at the beginning of a file. It is not a part of a secret or a certificate.
func TestLoad_withoutAByteOrderMark(t *testing.T) {
	t.Parallel()
	watch(t, "\xef\xbb\xbf1", "2\xef\xbb\xbf", func(t *testing.T, w *watched) {
		w.expect(t, "1|2\xef\xbb\xbf")
		w.write(t, "b", "\xef\xbb\xbf3")
		pass(5 * look)
		w.expect(t, "1|2\xef\xbb\xbf", "1|3")
	})
}

func TestLoad_wrong(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	large := filepath.Join(folder, "large")
	if err := os.WriteFile(large, make([]byte, 1<<20+1), 0o600); err != nil {
		t.Fatal(err)
	}
	take := func([][]byte) error { return nil }
	for path, want := range map[string]string{filepath.Join(folder, "missing"): "no such file", large: "more than 1048576 bytes",
		folder: "directory"} {
		_, err := reload.Load([]reload.File{{Setting: "--some-file", Path: path}}, take)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "name a file") ||
			strings.Contains(err.Error(), folder) {
			t.Errorf("error %v, want one with %q and without the path", err, want)
		}
		if unreadable := (*reload.UnreadableError)(nil); !errors.As(err, &unreadable) || unreadable.Setting != "--some-file" {
			t.Errorf("error %#v, want one that names the setting", err)
		}
	}
	refused := errors.New("refused")
	if _, err := reload.Load(nil, func([][]byte) error { return refused }); !errors.Is(err, refused) {
		t.Errorf("error %v, want that of take", err)
	}
}
