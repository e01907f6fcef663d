package bench

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Machine is where the figures were taken.
type Machine struct {
	Cores             int
	CPU               string
	GoVersion, System string
	// SyncMedian and SyncP99 are how long the disk takes to write 4 KiB and to sync them.
	SyncMedian, SyncP99 time.Duration
}

// String returns one line.
func (m Machine) String() string {
	return fmt.Sprintf("%d cores, %s, %s, %s, disk: 4 KiB written and synced in %v (p99 %v)",
		m.Cores, m.CPU, m.System, m.GoVersion, m.SyncMedian.Round(time.Microsecond), m.SyncP99.Round(time.Microsecond))
}

const (
	syncSize  = 4096
	syncCount = 200
)

// describeMachine measures the disk that holds dir.
func describeMachine(dir string) (Machine, error) {
	median, p99, err := measureSync(dir)
	return Machine{
		Cores: runtime.NumCPU(), CPU: cpuModel(), GoVersion: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH,
		SyncMedian: median, SyncP99: p99,
	}, err
}

func measureSync(dir string) (median, p99 time.Duration, err error) {
	file, err := os.CreateTemp(dir, "sync-")
	if err != nil {
		return 0, 0, err
	}
	defer func() {
		_ = file.Close()
		_ = os.Remove(file.Name())
	}()
	page := make([]byte, syncSize)
	times := make([]time.Duration, 0, syncCount)
	for range syncCount {
		start := time.Now()
		if _, err := file.Write(page); err != nil {
			return 0, 0, err
		}
		if err := file.Sync(); err != nil {
			return 0, 0, err
		}
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	return times[syncCount/2], times[syncCount*99/100], nil
}

// cpuModel returns what Linux calls the first core.
func cpuModel() string {
	file, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "CPU model unknown"
	}
	defer func() { _ = file.Close() }()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if name, model, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(model)
		}
	}
	return "CPU model unknown"
}
