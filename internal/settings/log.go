package settings

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"
)

// Log holds the settings of a program's log. A program's settings embed it.
type Log struct {
	LogLevel  logLevel `default:"info" placeholder:"LEVEL" help:"Least severe log lines to write: debug, info, warn or error."`
	LogFormat string   `default:"text" enum:"text,json" placeholder:"FORMAT" help:"Form of log lines: text or json."`
}

// logLevel is a level whose error names the words that the flag accepts.
type logLevel slog.Level

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *logLevel) UnmarshalText(text []byte) error {
	if (*slog.Level)(l).UnmarshalText(text) != nil {
		return fmt.Errorf("%q is not a level: use debug, info, warn or error", text)
	}
	return nil
}

// New returns a log that writes to w as the settings say, with the program's name in each line. If w does not take a line within
// [writeTimeout], that line is still written when w takes it, but the lines that come until then are dropped. A warning then reports how
// many lines were dropped.
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

// writeTimeout is how long a log line may block its caller. A reader that is only slow reads within that time.
const writeTimeout = time.Second

// boundedWriter writes lines to a writer that may block: a pipe whose reader hangs, or a terminal that is paused. A blocked write can't be
// ended. It continues in a goroutine, and no other line is written meanwhile.
type boundedWriter struct {
	w io.Writer
	// warning returns the line that replaces the dropped lines.
	warning func(dropped int) []byte

	// mu guards the fields below.
	mu sync.Mutex
	// writing is closed when the last write ends.
	writing chan struct{}
	dropped int
}

// Write implements io.Writer. It never fails, because nothing can be done about an error of a log.
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
	// A copy, because the caller reuses line.
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
