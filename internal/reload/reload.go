// Package reload lets a running service take over what has changed in its files, such as tokens, and certificates with their keys.
//
// Files are read again on SIGHUP, at once, and otherwise every two seconds: whoever replaces a file need not know the process, and on
// systems that put new secrets into files by themselves nobody could send the signal. Their content is compared rather than their times,
// which copies can keep and which say nothing of a link that leads elsewhere now; the files are small. What can't be read or used changes
// nothing, and is said once.
package reload

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	// interval is the time between two looks at the files. A change is taken over after two looks.
	interval = 2 * time.Second
	// maxBytes bounds a file: one that is larger was named by mistake.
	maxBytes = 1 << 20
)

// byteOrderMark is what some editors put before UTF-8. It is never a part of a secret or a certificate.
var byteOrderMark = []byte("\xef\xbb\xbf")

var (
	errTooLarge   = fmt.Errorf("it has more than %d bytes", maxBytes)
	errNotRegular = errors.New("it is no regular file, and such are read at the start alone")
)

// File is a file that a setting names.
type File struct{ Setting, Path string }

// UnreadableError is the error of a file that can't be read. It does not hold the path, which can be a secret in the wrong setting.
type UnreadableError struct {
	// Setting names the file.
	Setting string
	reason  error
}

func (e *UnreadableError) Error() string {
	return fmt.Sprintf("can't be read (%v): name a file that can be read", e.reason)
}

func (e *UnreadableError) Unwrap() error { return e.reason }

// Files are one or more files that are only used together. Make them with [Load].
type Files struct {
	files []File
	take  func(contents [][]byte) error

	// tried and seen are digests of the contents: of those that take got last, and of those found at the last look.
	tried, seen [sha256.Size]byte
	// unreadable is why the files could not be read at the last look, or empty.
	unreadable string
}

// Load reads files for the first time and hands their contents, without a byte order mark and in the order of files, to take. If take can't
// use them, it returns an error for people. That error must hold no secret, because it is logged when the files are read again.
//
// The error is take's, or an [UnreadableError].
func Load(files []File, take func(contents [][]byte) error) (*Files, error) {
	f := &Files{files: files, take: take}
	contents, err := f.read(func(os.FileMode) bool { return true })
	if err != nil {
		return nil, err
	}
	f.seen = digest(contents)
	f.tried = f.seen
	return f, take(contents)
}

// Start takes over changes of files until ctx ends or stop is called, which returns once that is over. hangups receives when somebody asks
// for the files to be read again.
func Start(ctx context.Context, files []*Files, hangups <-chan os.Signal, log *slog.Logger) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() { watch(ctx, files, hangups, log) })
	return func() {
		cancel()
		watching.Wait()
	}
}

// watch takes over changes of files until ctx ends: each time that hangups receives something, and otherwise when a content is the same at
// two looks in a row, so that one which is half written is not taken.
func watch(ctx context.Context, files []*Files, hangups <-chan os.Signal, log *slog.Logger) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		asked := false
		select {
		case <-ticker.C:
		case <-hangups:
			asked = true
		case <-ctx.Done():
			return
		}
		if asked && len(files) == 0 {
			log.Info("SIGHUP changes nothing: no setting names a file that can be read again")
		}
		for _, f := range files {
			f.look(asked, log)
		}
	}
}

// look reads the files, and takes them over when they have changed, or when somebody asked for it.
func (f *Files) look(asked bool, log *slog.Logger) {
	const kept = "files can't be taken over: what was read before stays"
	contents, err := f.read(os.FileMode.IsRegular)
	if err != nil {
		if asked || err.Error() != f.unreadable {
			log.Error(kept, "setting", err.Setting, "error", err)
		}
		f.unreadable = err.Error()
		return
	}
	f.unreadable = ""
	found := digest(contents)
	stable := found == f.seen
	f.seen = found
	if !asked && (!stable || found == f.tried) {
		return
	}
	f.tried = found
	if err := f.take(contents); err != nil {
		log.Error(kept, "setting", f.settings(), "error", err)
		return
	}
	log.Info("files were read again", "setting", f.settings())
}

func (f *Files) settings() string {
	var names []string
	for _, file := range f.files {
		names = append(names, file.Setting)
	}
	return strings.Join(names, ", ")
}

// read returns the contents of all files, of which each must be of a kind that may be read.
func (f *Files) read(mayRead func(os.FileMode) bool) ([][]byte, *UnreadableError) {
	contents := make([][]byte, len(f.files))
	for i, file := range f.files {
		content, err := readFile(file.Path, mayRead)
		if err != nil {
			if pathErr := (*os.PathError)(nil); errors.As(err, &pathErr) {
				err = pathErr.Err
			}
			return nil, &UnreadableError{Setting: file.Setting, reason: err}
		}
		contents[i] = content
	}
	return contents, nil
}

func readFile(path string, mayRead func(os.FileMode) bool) (content []byte, err error) {
	// Asked before the file is opened, because opening a pipe that nobody writes to would wait for ever.
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !mayRead(info.Mode()) {
		return nil, errNotRegular
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	content, err = io.ReadAll(io.LimitReader(file, maxBytes+1))
	if err == nil && len(content) > maxBytes {
		err = errTooLarge
	}
	return bytes.TrimPrefix(content, byteOrderMark), err
}

// digest tells contents apart, without keeping what they hold.
func digest(contents [][]byte) [sha256.Size]byte {
	hash := sha256.New()
	for _, content := range contents {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(content)))
		_, _ = hash.Write(length[:])
		_, _ = hash.Write(content)
	}
	return [sha256.Size]byte(hash.Sum(nil))
}
