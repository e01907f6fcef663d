package process

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"
)

// ErrNotMeasured is returned on systems without /proc. Only Linux has it.
var ErrNotMeasured = errors.New("not measured on this system")

// clockTick is the unit of CPU time in /proc/<pid>/stat: USER_HZ, which is 100 on every architecture that Go runs Linux on.
const clockTick = time.Second / 100

// Usage is the memory and CPU time of a process.
type Usage struct {
	// ResidentBytes is the memory that the process holds now, and PeakResidentBytes is the maximum so far.
	ResidentBytes, PeakResidentBytes int64
	// CPU is the time on all cores so far, in user and kernel mode, in steps of 10 ms.
	CPU time.Duration
}

// ReadUsage returns the usage of the process with that id. The error is [ErrNotMeasured] if there is no /proc, and [os.ErrProcessDone] if
// there is no such process.
func ReadUsage(pid int) (Usage, error) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		return Usage{}, ErrNotMeasured
	}
	folder := "/proc/" + strconv.Itoa(pid)
	stat, err := readProc(folder + "/stat")
	if err != nil {
		return Usage{}, err
	}
	status, err := readProc(folder + "/status")
	if err != nil {
		return Usage{}, err
	}
	cpu, err := parseCPU(stat)
	if err != nil {
		return Usage{}, err
	}
	usage := Usage{CPU: cpu}
	for lines := bufio.NewScanner(bytes.NewReader(status)); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ":")
		switch name {
		case "VmRSS":
			usage.ResidentBytes, err = parseKilobytes(value)
		case "VmHWM":
			usage.PeakResidentBytes, err = parseKilobytes(value)
		}
		if err != nil {
			return Usage{}, fmt.Errorf("reading %s of process %d: %w", name, pid, err)
		}
	}
	return usage, nil
}

func readProc(path string) ([]byte, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, os.ErrProcessDone
	}
	return content, err
}

// parseCPU returns the sum of utime and stime, fields 14 and 15 of /proc/<pid>/stat. It counts the fields after the program's name, because
// the name may contain spaces and parentheses.
func parseCPU(stat []byte) (time.Duration, error) {
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const user, system = 14 - 3, 15 - 3
	if len(fields) <= system {
		return 0, fmt.Errorf("process status %q is too short", stat)
	}
	var ticks int64
	for _, field := range []string{fields[user], fields[system]} {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("reading CPU time: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * clockTick, nil
}

// parseKilobytes reads a value such as "  1234 kB".
func parseKilobytes(value string) (int64, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(value, "kB")), 10, 64)
	return n << 10, err
}
