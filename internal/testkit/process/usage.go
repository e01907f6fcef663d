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

// ErrNotMeasured says that this system does not tell what a process uses: only Linux does, in /proc.
var ErrNotMeasured = errors.New("not measured on this system")

// clockTick is the unit of CPU time in /proc/<pid>/stat: USER_HZ, which is 100 on every architecture that Go runs Linux on.
const clockTick = time.Second / 100

// Usage is what a process has used so far.
type Usage struct {
	// ResidentBytes is the memory that it holds now, and PeakResidentBytes the most that it ever held.
	ResidentBytes, PeakResidentBytes int64
	// CPU is its time on all cores, in user and kernel mode, in steps of 10 ms.
	CPU time.Duration
}

// ReadUsage returns what the process with this id has used. The error is [ErrNotMeasured] where there is no /proc, and
// [os.ErrProcessDone] when there is no such process.
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

// parseCPU adds utime and stime, fields 14 and 15 of /proc/<pid>/stat. They are counted from behind the program's name, which stands
// in parentheses and may itself hold spaces and parentheses.
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
