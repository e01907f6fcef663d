package bench

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	// The driver to read ticketsvc's database with.
	_ "modernc.org/sqlite"

	"github.com/ticketbridge/ticketbridge/internal/process"
)

// service is a process that is to be started for one part.
type service struct {
	name    string
	command process.Command
	// address is where it serves, admin where it gives its profile, database the path of its SQLite file. Bare has only the first.
	address, admin, database string
}

func bareService(command process.Command, folder string) (service, error) {
	address, err := process.FreeAddress()
	if err != nil {
		return service{}, err
	}
	command.Args = append(append([]string{}, command.Args...), address, benchSecret)
	command.LogPath = filepath.Join(folder, "bare.log")
	command.ReadyURL = "http://" + address + readyPath
	return service{name: "bare handler", command: command, address: address}, nil
}

func gatewayService(binary, folder, ticketsvcAddress string) (service, error) {
	return newService(binary, folder, "gateway", "GATEWAY_",
		"GATEWAY_WEBHOOK_SECRET="+benchSecret, "GATEWAY_TICKETSVC_URL=http://"+ticketsvcAddress)
}

func ticketsvcService(binary, folder string) (service, error) {
	return newService(binary, folder, "ticketsvc", "TICKETSVC_")
}

// newService sets up one of the two services. Its environment is only what stands here: what the caller's shell sets would change what
// is measured.
func newService(binary, folder, name, prefix string, env ...string) (service, error) {
	s := service{name: name, database: filepath.Join(folder, name+".db")}
	for _, address := range []*string{&s.address, &s.admin} {
		free, err := process.FreeAddress()
		if err != nil {
			return service{}, err
		}
		*address = free
	}
	s.command = process.Command{
		Path:     binary,
		Env:      append(env, prefix+"LISTEN="+s.address, prefix+"ADMIN_LISTEN="+s.admin, prefix+"DATABASE_URL=sqlite:"+s.database),
		LogPath:  filepath.Join(folder, name+".log"),
		ReadyURL: "http://" + s.admin + readyPath,
	}
	return s, nil
}

const (
	// appliedQuery counts what ticketsvc has applied: its event log has a row for each, numbered without gaps.
	appliedQuery = "SELECT coalesce(max(sequence), 0) FROM events"
	// appliedPoll is the pause between two counts, and how exactly the end of a sustained part is known.
	appliedPoll = 100 * time.Millisecond
	// appliedStall is for how long nothing may be applied before the wait is given up.
	appliedStall = 30 * time.Second
)

// waitApplied returns once ticketsvc has applied this many events.
func waitApplied(ctx context.Context, database string, want int) error {
	db, err := sql.Open("sqlite", "file:"+database+"?mode=ro&_pragma=busy_timeout(1000)")
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	poll := time.NewTicker(appliedPoll)
	defer poll.Stop()
	applied, changed := -1, time.Now()
	for {
		var now int
		if err := db.QueryRowContext(ctx, appliedQuery).Scan(&now); err != nil {
			return fmt.Errorf("counting the applied events: %w", err)
		}
		if now >= want {
			return nil
		}
		if now != applied {
			applied, changed = now, time.Now()
		} else if time.Since(changed) > appliedStall {
			return fmt.Errorf("%d of %d accepted events are applied, and none more for %v", applied, want, appliedStall)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-poll.C:
		}
	}
}

// startProfiles asks the services for CPU profiles of the coming time, and returns a function that waits until they are written.
func startProfiles(ctx context.Context, dir, during string, services []service, length time.Duration) (wait func() error) {
	var group errgroup.Group
	for _, s := range services {
		path := filepath.Join(dir, strings.NewReplacer(" ", "-", ",", "").Replace(during+" "+s.name)+".pprof")
		url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", s.admin, max(1, int(length.Seconds())))
		group.Go(func() error { return download(ctx, url, path) })
	}
	return group.Wait
}

func download(ctx context.Context, url, path string) (err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := file.Close(); err == nil {
			err = closeErr
		}
	}()
	_, err = io.Copy(file, response.Body)
	return err
}
