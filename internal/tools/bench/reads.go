package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/internal/testkit/process"
)

// ReadOptions says how [RunReads] measures what ticketsvc's callers wait for.
type ReadOptions struct {
	// Ticketsvc is the path of the service's binary, and Fill that of the command which makes databases with many tickets.
	Ticketsvc, Fill string
	// Postgres and Dir are those of [Options].
	Postgres bool
	Dir      string
	// Few and Many are of how many tickets the two databases are that are compared.
	Few, Many int
	// Page is which page of a list is compared to the first.
	Page int
	// Rounds is how often everything is measured, each time in the opposite order.
	Rounds int
	// Calls is how often each query is made in a round by one caller. Many callers at the same time make a quarter as many bursts. At least 4.
	Calls int
	// Watchers is how many watch at the same time.
	Watchers int
	// Writing is for how long events are recorded, in a round with watchers and in one without; Paced for how long at a steady rate, where
	// lags are measured.
	Writing, Paced time.Duration
	// Progress gets a line for each step. It may be [io.Discard].
	Progress io.Writer
}

// The targets of what ticketsvc's callers wait for.
const (
	getAtMost    = 1.5
	pageAtMost   = 2
	statsAtMost  = 3
	writeAtLeast = 0.7
)

// RunReads measures what callers of ticketsvc wait for, over real connections to its own process: tickets, lists and stats with few tickets
// and with many, what watchers cost those who write, and when they hear of a change.
//
// It stops every process that it started and removes every folder that it made before it returns, also when ctx ends.
func RunReads(ctx context.Context, options ReadOptions) (_ ReadReport, err error) {
	if err := os.MkdirAll(options.Dir, 0o711); err != nil {
		return ReadReport{}, err
	}
	machine, err := describeMachine(options.Dir)
	if err != nil {
		return ReadReport{}, fmt.Errorf("measuring the disk: %w", err)
	}
	folder, err := os.MkdirTemp(options.Dir, "bench-")
	if err != nil {
		return ReadReport{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	b := &readBench{options: options, report: ReadReport{
		Machine: machine, Few: options.Few, Many: options.Many, Page: options.Page, Watchers: options.Watchers,
	}}
	if b.folder, err = filepath.Abs(folder); err != nil {
		return ReadReport{}, err
	}
	engines := []string{SQLite}
	if options.Postgres {
		if b.postgres, err = startPostgres(ctx, options.Dir); err != nil {
			return ReadReport{}, err
		}
		defer func() { err = errors.Join(err, b.postgres.close()) }()
		b.report.Postgres = b.postgres.about
		engines = append(engines, PostgreSQL)
	}
	if err := b.measureQueries(ctx, engines); err != nil {
		return b.report, err
	}
	for _, engine := range engines {
		if err := b.measureWatching(ctx, engine); err != nil {
			return b.report, fmt.Errorf("%s: %w", engine, err)
		}
	}
	return b.report, nil
}

type readBench struct {
	options ReadOptions
	folder  string
	// postgres is nil when PostgreSQL is not measured.
	postgres *postgres
	// databases and services are how many were made, which tells their names apart.
	databases, services int
	report              ReadReport
}

func (b *readBench) sayf(format string, values ...any) {
	_, _ = fmt.Fprintf(b.options.Progress, format+"\n", values...)
}

// newDatabase returns the URL of a new, empty database.
func (b *readBench) newDatabase(ctx context.Context, engine string) (url string, err error) {
	if engine == SQLite {
		b.databases++
		return "sqlite:" + filepath.Join(b.folder, fmt.Sprintf("reads-%d.db", b.databases)), nil
	}
	name, err := b.postgres.newDatabase(ctx)
	return b.postgres.server.URL(name), err
}

// filled is a database with tickets, and ids of some of them.
type filled struct {
	url string
	ids []string
}

// sample is how many ids of tickets are asked for: so many that hardly any is read twice.
const sample = 100_000

// fillAll makes the two databases of each engine, those of different engines at the same time.
func (b *readBench) fillAll(ctx context.Context, engines []string) (few, many map[string]*filled, err error) {
	begin := time.Now()
	few, many = map[string]*filled{}, map[string]*filled{}
	for _, engine := range engines {
		for _, databases := range []map[string]*filled{few, many} {
			url, err := b.newDatabase(ctx, engine)
			if err != nil {
				return nil, nil, err
			}
			databases[engine] = &filled{url: url}
		}
	}
	b.sayf("filling databases with %s and %s tickets on %s", thousands(b.options.Few), thousands(b.options.Many),
		strings.Join(engines, " and "))
	group, ctx := errgroup.WithContext(ctx)
	for _, engine := range engines {
		group.Go(func() error {
			if err := b.fill(ctx, few[engine], b.options.Few); err != nil {
				return err
			}
			return b.fill(ctx, many[engine], b.options.Many)
		})
	}
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	b.sayf("filled in %v", time.Since(begin).Round(time.Second))
	return few, many, nil
}

// fill has the command make n tickets in a database.
func (b *readBench) fill(ctx context.Context, database *filled, n int) error {
	command := exec.CommandContext(ctx, b.options.Fill, "--tickets", strconv.Itoa(n), "--sample", strconv.Itoa(sample))
	// In the environment, since it can hold a password.
	command.Env = []string{"FILL_DATABASE_URL=" + database.url}
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = stopTimeout
	var stderr strings.Builder
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(b.options.Fill), err, strings.TrimSpace(stderr.String()))
	}
	database.ids = strings.Fields(string(out))
	return nil
}

// served is a running ticketsvc.
type served struct {
	*process.Process
	url string
	// client calls it over HTTP/1.1 with connections that are kept, as the gateway does.
	client    *http.Client
	tickets   ticketv1connect.TicketServiceClient
	forwarded ticketv1connect.TicketEventServiceClient
}

// serve starts a ticketsvc on a database.
func (b *readBench) serve(ctx context.Context, databaseURL string) (*served, error) {
	b.services++
	service, err := ticketsvcService(b.options.Ticketsvc, b.folder, b.services, databaseURL)
	if err != nil {
		return nil, err
	}
	starting, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	p, err := process.Start(starting, service.command)
	if err != nil {
		return nil, err
	}
	url := "http://" + service.address
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: math.MaxInt}, Timeout: answerTimeout}
	return &served{
		Process: p, url: url, client: client, tickets: ticketv1connect.NewTicketServiceClient(client, url),
		forwarded: ticketv1connect.NewTicketEventServiceClient(client, url),
	}, nil
}

// close ends the service.
func (s *served) close() error {
	s.client.CloseIdleConnections()
	return stop(s.Process)
}

// thousands returns a number for people: 1,000,000.
func thousands(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
