package settings

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"
)

// Log is the settings of a program's log. A program's settings embed it.
type Log struct {
	LogLevel  logLevel `default:"info" placeholder:"LEVEL" help:"Least severe log lines to write: debug, info, warn or error."`
	LogFormat string   `default:"text" enum:"text,json" placeholder:"FORMAT" help:"Form of log lines: text or json."`
}

// logLevel is a level whose error names the words that the flag takes.
type logLevel slog.Level

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *logLevel) UnmarshalText(text []byte) error {
	if (*slog.Level)(l).UnmarshalText(text) != nil {
		return fmt.Errorf("%q is not a level: use debug, info, warn or error", text)
	}
	return nil
}

// New returns a log that writes to w as the settings say, with the program's name in each line. Where w does not take a line within
// [writeTimeout], that line is still written once w takes it, and the lines that come until then are dropped. A warning says how many.
func (l Log) New(p Program, w io.Writer) *slog.Logger {
	return l.newLog(p, &boundedWriter{w: w, warning: func(dropped int) []byte {
		var line bytes.Buffer
		l.newLog(p, &line).Warn("log lines were dropped, because the log's reader did not read: look what it waits for", "count", dropped)
		return line.Bytes()
	}})
}

func (l Log) newLog(p Program, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: slog.Level(l.LogLevel)}
	var handler slog.Handler = slog.NewTextHandler(w, options)
	if l.LogFormat == "json" {
		handler = slog.NewJSONHandler(w, options)
	}
	return slog.New(handler).With("program", p.Name)
}

// writeTimeout is how long a log line may hold up who writes it. A reader that is only slow reads within that time.
const writeTimeout = time.Second

// boundedWriter writes lines to a writer that may stop taking them: a pipe whose reader hangs, or a terminal that is paused. A write to
// such a writer can't be ended. It goes on in a goroutine, and no other line is written meanwhile.
type boundedWriter struct {
	w io.Writer
	// warning returns the line that stands for the dropped ones.
	warning func(dropped int) []byte

	// mu guards what follows.
	mu sync.Mutex
	// writing is closed when the last write ends.
	writing chan struct{}
	dropped int
}

// Write implements io.Writer. It never fails: nothing could be done about an error of a log.
func (b *boundedWriter) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-b.writing:
	default:
		if b.writing != nil {
			b.dropped++
			return len(line), nil
		}
	}
	var lines []byte
	if b.dropped > 0 {
		lines, b.dropped = b.warning(b.dropped), 0
	}
	// A copy, because the caller uses line again.
	lines = append(lines, line...)
	written := make(chan struct{})
	b.writing = written
	go func() {
		defer close(written)
		_, _ = b.w.Write(lines)
	}()
	timer := time.NewTimer(writeTimeout)
	defer timer.Stop()
	select {
	case <-written:
	case <-timer.C:
	}
	return len(line), nil
}
