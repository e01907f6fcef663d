package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/internal/testkit/process"
)

const (
	startTimeout, stopTimeout = 30 * time.Second, 30 * time.Second
	// appliedPoll is the time between two counts of applied events, and so the error of the time of a sustained part.
	appliedPoll = 100 * time.Millisecond
	// appliedTimeout bounds the wait for all events to be applied.
	appliedTimeout = 5 * time.Minute
)

// system is a group of processes and their database.
type system struct {
	database
	services []*service
	// tickets and events call the first ticketsvc over HTTP/1.1 with persistent connections, as the gateway does.
	tickets ticketv1connect.TicketServiceClient
	events  ticketv1connect.TicketEventServiceClient
	http    *http.Client
}

// service is a running process.
type service struct {
	*process.Process
	// name is the service's name, the same for all replicas.
	name string
	// address is the address of the service, and admin its admin address, which has profiles. The bare handler has no admin address.
	address, admin string
}

func (s *service) url() string { return "http://" + s.address }

// newSystem makes a database. The caller must call close.
func (b *bench) newSystem(ctx context.Context, engine string) (*system, error) {
	db, err := b.newDatabase(ctx, engine)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: math.MaxInt}, Timeout: answerTimeout}
	return &system{database: db, http: client}, err
}

// close ends the processes, even if the context of their start has ended, and removes the database.
func (s *system) close() (err error) {
	s.http.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	for _, service := range s.services {
		err = errors.Join(err, service.Stop(ctx))
	}
	return errors.Join(err, s.drop())
}

// waitApplied returns after ticketsvc has applied this number of events.
func (s *system) waitApplied(ctx context.Context, want int) error {
	ctx, cancel := context.WithTimeout(ctx, appliedTimeout)
	defer cancel()
	poll := time.NewTicker(appliedPoll)
	defer poll.Stop()
	for applied := 0; applied < want; <-poll.C {
		log, err := s.events.CheckLogPositions(ctx, &ticketv1.CheckLogPositionsRequest{})
		if err != nil {
			return fmt.Errorf("waiting for %d applied events, after %d: %w", want, applied, err)
		}
		// The log has an entry for each event.
		applied = int(log.GetLast().GetSequence())
	}
	return nil
}

func (b *bench) startBare(ctx context.Context, s *system) (*service, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	address, err := process.FreeAddress()
	if err != nil {
		return nil, err
	}
	command := process.Command{Path: self, Args: []string{"bare", address, benchSecret}, ReadyURL: "http://" + address + readyPath}
	return b.startProcess(ctx, s, &service{name: "bare handler", address: address}, command)
}

func (b *bench) startGateway(ctx context.Context, s *system, binary, ticketsvcAddress string) (*service, error) {
	return b.startService(ctx, s, "gateway", binary, "GATEWAY_DATABASE_URL="+s.gatewayURL, "GATEWAY_WEBHOOK_SECRET="+benchSecret,
		"GATEWAY_TICKETSVC_URL=http://"+ticketsvcAddress)
}

func (b *bench) startTicketsvc(ctx context.Context, s *system, binary string) (*service, error) {
	// All watchers come from one address.
	ticketsvc, err := b.startService(ctx, s, "ticketsvc", binary, "TICKETSVC_DATABASE_URL="+s.ticketsvcURL,
		"TICKETSVC_MAX_WATCHERS_PER_TOKEN=4096")
	if err == nil && s.events == nil {
		s.tickets = ticketv1connect.NewTicketServiceClient(s.http, ticketsvc.url())
		s.events = ticketv1connect.NewTicketEventServiceClient(s.http, ticketsvc.url())
	}
	return ticketsvc, err
}

// startService starts one of the two services. It does not pass on the environment of this process, which would change the results.
func (b *bench) startService(ctx context.Context, s *system, name, binary string, env ...string) (*service, error) {
	started := &service{name: name}
	for _, address := range []*string{&started.address, &started.admin} {
		free, err := process.FreeAddress()
		if err != nil {
			return nil, err
		}
		*address = free
	}
	prefix := strings.ToUpper(name) + "_"
	env = append(env, prefix+"LISTEN="+started.address, prefix+"ADMIN_LISTEN="+started.admin)
	return b.startProcess(ctx, s, started, process.Command{Path: binary, Env: env, ReadyURL: "http://" + started.admin + readyPath})
}

func (b *bench) startProcess(ctx context.Context, s *system, started *service, command process.Command) (_ *service, err error) {
	command.LogPath = filepath.Join(b.folder, b.newName("log"))
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if started.Process, err = process.Start(ctx, command); err != nil {
		return nil, err
	}
	s.services = append(s.services, started)
	return started, nil
}

// profile writes a CPU profile of the next period, of this length, into a folder.
func (s *service) profile(ctx context.Context, folder string, during part, length time.Duration) (err error) {
	url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", s.admin, max(1, int(length.Seconds())))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	profile, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s, %v", url, response.Status, err) //nolint:errorlint // err can be nil.
	}
	name := strings.NewReplacer(" ", "-", ",", "").Replace(during.String()+" "+s.name) + ".pprof"
	return os.WriteFile(filepath.Join(folder, name), profile, 0o600)
}
