package postgresserver

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ticketbridge/ticketbridge/internal/testkit/process"
)

// clockTick is the unit of CPU time in /proc/<pid>/stat: USER_HZ, which is 100 on every architecture that Go runs Linux on.
const clockTick = time.Second / 100

// CPU returns the time on all cores, in user and kernel mode, that the server and all its backends have used since the last start. Backends
// that have ended are included. Each process counts in steps of 10 ms. A backend that ends during the call may be missed.
//
// The error is [process.ErrNotMeasured] if there is no /proc, and [os.ErrProcessDone] if the server does not run.
func (s *Server) CPU() (time.Duration, error) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		return 0, process.ErrNotMeasured
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.postmaster.hasExited() {
		return 0, os.ErrProcessDone
	}
	pid := s.postmaster.cmd.Process.Pid
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	var total time.Duration
	for _, file := range files {
		stat, err := os.ReadFile(file)
		if err != nil {
			// It has ended since the folder was listed, and is some other process but for the rarest case.
			continue
		}
		times, err := parseTimes(stat)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
		// The backends are the postmaster's children, and none has children of its own that live for long.
		if times.parent == pid || file == fmt.Sprintf("/proc/%d/stat", pid) {
			total += times.own + times.ended
		}
	}
	return total, nil
}

// times are values of /proc/<pid>/stat: the parent of a process, its own CPU time, and the CPU time of its children that have ended.
type times struct {
	parent     int
	own, ended time.Duration
}

// parseTimes reads /proc/<pid>/stat. It counts the fields after the program's name, because the name may contain spaces and parentheses.
func parseTimes(stat []byte) (times, error) {
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const parent, user, system, endedUser, endedSystem = 4 - 3, 14 - 3, 15 - 3, 16 - 3, 17 - 3
	if len(fields) <= endedSystem {
		return times{}, fmt.Errorf("process status %q is too short", stat)
	}
	var failed error
	number := func(field int) int {
		n, err := strconv.Atoi(fields[field])
		failed = errors.Join(failed, err)
		return n
	}
	read := times{
		parent: number(parent),
		own:    time.Duration(number(user)+number(system)) * clockTick,
		ended:  time.Duration(number(endedUser)+number(endedSystem)) * clockTick,
	}
	return read, failed
}
