// Package reload lets a running service load its files again after they have changed, such as tokens, and certificates with their keys.
//
// Files are read again on SIGHUP, and also every two seconds: a program that replaces a file need not know the process, and on systems that
// write new secrets into files by themselves nobody could send the signal. The contents are compared instead of the modification times: a
// copy can keep the time, and the time does not change if a link leads to another file. The files are small. If a file can't be read or
// used, nothing changes, and that is logged once.
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
	// interval is the time between two reads of the files. A change is used after two reads.
	interval = 2 * time.Second
	// maxBytes is the maximum size of a file: a larger file was named by mistake.
	maxBytes = 1 << 20
)

// byteOrderMark is written before UTF-8 by some editors. It is never a part of a secret or a certificate.
var byteOrderMark = []byte("\xef\xbb\xbf")

var (
	errTooLarge   = fmt.Errorf("it has more than %d bytes", maxBytes)
	errNotRegular = errors.New("it is not a regular file, and such a file is read only at the start")
)

// File is a file that a setting names.
type File struct{ Setting, Path string }

// UnreadableError is the error of a file that can't be read. It does not hold the path, which can be a secret in the wrong setting.
type UnreadableError struct {
	// Setting is the setting that names the file.
	Setting string
	reason  error
}

func (e *UnreadableError) Error() string {
	return fmt.Sprintf("can't be read (%v): name a file that can be read", e.reason)
}

func (e *UnreadableError) Unwrap() error { return e.reason }

// Files are one or more files that are only used together. [Load] makes them.
type Files struct {
	files []File
	use   func(contents [][]byte) error

	// tried and seen are digests of contents: those that use got last, and those of the last read.
	tried, seen [sha256.Size]byte
	// unreadable is the reason why the last read failed, or empty.
	unreadable string
}

// Load reads files for the first time and passes their contents to use, without a byte order mark and in the order of files. If use can't
// use them, it returns an error for people. That error must hold no secret, because it is logged when the files are read again.
//
// The error is that of use, or an [UnreadableError].
func Load(files []File, use func(contents [][]byte) error) (*Files, error) {
	f := &Files{files: files, use: use}
	contents, err := f.read(func(os.FileMode) bool { return true })
	if err != nil {
		return nil, err
	}
	f.seen = digest(contents)
	f.tried = f.seen
	return f, use(contents)
}

// Start loads changed files again until ctx ends or stop is called. stop returns after the last load has ended. hangups receives when
// somebody asks for the files to be read again.
func Start(ctx context.Context, files []*Files, hangups <-chan os.Signal, log *slog.Logger) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() { watch(ctx, files, hangups, log) })
	return func() {
		cancel()
		watching.Wait()
	}
}

// watch loads changed files again until ctx ends: each time that hangups receives something, and otherwise if the contents are the same at
// two reads in a row. So a half-written file is not used.
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
			f.check(asked, log)
		}
	}
}

// check reads the files, and uses them if they have changed, or if somebody asked for it.
func (f *Files) check(asked bool, log *slog.Logger) {
	const unusable = "files can't be used: the previous ones stay in use"
	contents, err := f.read(os.FileMode.IsRegular)
	if err != nil {
		if asked || err.Error() != f.unreadable {
			log.Error(unusable, "setting", err.Setting, "error", err)
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
	if err := f.use(contents); err != nil {
		log.Error(unusable, "setting", f.settings(), "error", err)
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

// read returns the contents of all files. mayRead reports whether a file of that mode may be read.
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
	// Checked before the file is opened: opening a pipe that nobody writes to would block for ever.
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

// digest returns a hash that distinguishes contents, so that the contents themselves need not be kept.
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
