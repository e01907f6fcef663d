package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ticketbridge/ticketbridge/internal/testkit/process"
)

// service is a process that is to be started for one part.
type service struct {
	// name is the same for all replicas of a service.
	name    string
	command process.Command
	// address is where it serves, admin where it gives its profile. Bare has only the first.
	address, admin string
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

func gatewayService(binary, folder string, replica int, databaseURL, ticketsvcAddress string) (service, error) {
	return newService(binary, folder, "gateway", replica, "GATEWAY_", "GATEWAY_DATABASE_URL="+databaseURL,
		"GATEWAY_WEBHOOK_SECRET="+benchSecret, "GATEWAY_TICKETSVC_URL=http://"+ticketsvcAddress)
}

func ticketsvcService(binary, folder string, replica int, databaseURL string) (service, error) {
	return newService(binary, folder, "ticketsvc", replica, "TICKETSVC_", "TICKETSVC_DATABASE_URL="+databaseURL,
		"TICKETSVC_MAX_WATCHERS_PER_TOKEN=4096")
}

// newService sets up one of the two services. Its environment is only what stands here: what the caller's shell sets would change what
// is measured.
func newService(binary, folder, name string, replica int, prefix string, env ...string) (service, error) {
	s := service{name: name}
	for _, address := range []*string{&s.address, &s.admin} {
		free, err := process.FreeAddress()
		if err != nil {
			return service{}, err
		}
		*address = free
	}
	s.command = process.Command{
		Path:     binary,
		Env:      append(env, prefix+"LISTEN="+s.address, prefix+"ADMIN_LISTEN="+s.admin),
		LogPath:  filepath.Join(folder, fmt.Sprintf("%s-%d.log", name, replica)),
		ReadyURL: "http://" + s.admin + readyPath,
	}
	return s, nil
}

// startProfiles asks the services, the first replica of each, for CPU profiles of the coming time, and returns a function that waits
// until they are written.
func startProfiles(ctx context.Context, dir string, during Part, services []service, length time.Duration) (wait func() error) {
	var group errgroup.Group
	asked := map[string]bool{}
	for _, s := range services {
		if asked[s.name] {
			continue
		}
		asked[s.name] = true
		path := filepath.Join(dir, strings.NewReplacer(" ", "-", ",", "").Replace(during.String()+" "+s.name)+".pprof")
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
