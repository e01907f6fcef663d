package postgresserver

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// logTail is how much of its log an error quotes, in bytes.
const logTail = 2048

func (s *Server) logPath() string { return filepath.Join(s.folder, "log") }

// quoteLog returns the end of the log for an error's text, or nothing when it can't be read.
func (s *Server) quoteLog() string {
	file, err := os.Open(s.logPath())
	if err != nil {
		return ""
	}
	defer func() { _ = file.Close() }()
	if info, err := file.Stat(); err == nil && info.Size() > logTail {
		if _, err := file.Seek(-logTail, io.SeekEnd); err != nil {
			return ""
		}
	}
	tail, err := io.ReadAll(io.LimitReader(file, logTail))
	if err != nil {
		return ""
	}
	return fmt.Sprintf("\nthe end of PostgreSQL's log:\n%s", tail)
}
