package postgresserver

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// logTail is the number of bytes of the log that an error quotes.
const logTail = 2048

func (s *Server) logPath() string { return filepath.Join(s.folder, "log") }

// quoteLog returns the end of the log for an error, or an empty string if the log can't be read.
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
