// Package postgresserver runs a PostgreSQL server of its own from the binaries of this machine, in a folder of its own, on a loopback
// port: for the tests, the end-to-end tests, and the benchmark.
//
// It is as durable as PostgreSQL is by default: fsync, full_page_writes and synchronous_commit are on. On Linux it doesn't outlive the
// process that started it, however that ends; only its folder is left behind when [Server.Close] wasn't called.
package postgresserver

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ticketbridge/ticketbridge/internal/testkit/process"
)

const (
	// superuser is the one role of a new server.
	superuser = "postgres"
	// readyPoll is the pause between two looks at whether the server is ready. Short beside a start, which takes tens of milliseconds.
	readyPoll = 10 * time.Millisecond
	// readyTimeout bounds one such look, so that a server that accepts and does not answer is asked again.
	readyTimeout = 2 * time.Second
)

// Options say how to set a server up. The zero value will do.
type Options struct {
	// Dir is the folder in which the server's own folder is made. Empty means [os.TempDir]. When this process runs as root the server
	// runs as another account (postgres, else nobody), which must be able to reach Dir; what [testing.T.TempDir] gives it can't.
	Dir string
	// Settings are settings of postgresql.conf by their names. They go before those that Start chooses (128 MB of shared buffers, 200
	// connections, a write-ahead log that may grow to 4 GB between two checkpoints), but for the address and the port.
	Settings map[string]string
}

// Server is a PostgreSQL server. Its methods may be called from several goroutines.
type Server struct {
	binaries, folder  string
	account           *syscall.Credential
	password, address string
	settings          []string

	// mu guards postmaster, which is the last run.
	mu         sync.Mutex
	postmaster *postmaster
}

// Start makes a new server with one role, a superuser with a random password; starts it; and waits until it takes connections. The
// caller has to call [Server.Close].
//
// ctx bounds the wait alone: the server lives on after it. When Start fails nothing is left behind; the error is [ErrNotInstalled]
// when this machine has no PostgreSQL, [process.ErrExited] when the server ended by itself, and ctx's when that ended first.
func Start(ctx context.Context, options Options) (*Server, error) {
	binaries, err := Find()
	if err != nil {
		return nil, err
	}
	as, err := account()
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp(options.Dir, "ticketbridge-postgres-")
	if err != nil {
		return nil, fmt.Errorf("making PostgreSQL's folder: %w", err)
	}
	s := &Server{binaries: binaries, folder: folder, account: as, password: rand.Text()}
	if err = s.create(ctx, options.Settings); err == nil {
		err = s.start(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	return s, nil
}

// Restart starts a server that has ended, on the same address with the same data, and waits until it takes connections. The error is
// [process.ErrRunning] while it still runs. Apart from that it is [Start].
func (s *Server) Restart(ctx context.Context) error { return s.start(ctx) }

// Stop ends the server in fast mode: it breaks off what runs, closes all connections, and writes a checkpoint. When ctx ends first the
// server is killed, and the error is [process.ErrKilled]. Stop does nothing when the server has ended already.
func (s *Server) Stop(ctx context.Context) error {
	p := s.current()
	if p.hasExited() {
		return nil
	}
	// The one error is that it has ended, which is what is wanted.
	_ = p.cmd.Process.Signal(syscall.SIGINT)
	select {
	case <-p.exited:
	case <-ctx.Done():
		p.kill()
		return fmt.Errorf("PostgreSQL: %w%s", process.ErrKilled, s.quoteLog())
	}
	if !p.cmd.ProcessState.Success() {
		return fmt.Errorf("PostgreSQL: %v%s", p.cmd.ProcessState, s.quoteLog())
	}
	return nil
}

// Kill ends the server in immediate mode, as a crash does: nothing is written any more, connections break, and the next start recovers
// from the write-ahead log. It returns once the server is gone, and does nothing when it has ended already.
//
// It isn't SIGKILL, which would leave the backends running for a moment, and the next start refused until they have ended.
func (s *Server) Kill() { s.current().kill() }

// Close ends the server as [Server.Kill] does, and removes its folder with all data. It can't be used any more.
func (s *Server) Close() error {
	s.Kill()
	return os.RemoveAll(s.folder)
}

// Address returns where the server listens, as host:port. It stays the same over restarts.
func (s *Server) Address() string { return s.address }

// URL returns the URL of a database of the server, for its superuser, with the password. The database "postgres" is always there.
func (s *Server) URL(database string) string {
	location := url.URL{
		Scheme: "postgres", User: url.UserPassword(superuser, s.password), Host: s.address, Path: "/" + database, RawQuery: "sslmode=disable",
	}
	return location.String()
}

func (s *Server) data() string { return filepath.Join(s.folder, "data") }

func (s *Server) current() *postmaster {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.postmaster
}

// start starts the server and waits until it takes connections. When it fails the server doesn't run.
func (s *Server) start(ctx context.Context) error {
	p, err := s.launch()
	if err != nil {
		return fmt.Errorf("starting PostgreSQL: %w", err)
	}
	if err := s.waitReady(ctx, p); err != nil {
		p.kill()
		return fmt.Errorf("PostgreSQL: %w%s", err, s.quoteLog())
	}
	return nil
}

func (s *Server) launch() (*postmaster, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.postmaster != nil && !s.postmaster.hasExited() {
		return nil, process.ErrRunning
	}
	cmd := exec.Command(filepath.Join(s.binaries, "postgres"), append([]string{"-D", s.data()}, s.settings...)...)
	cmd.Dir, cmd.Env = s.folder, environment()
	p, err := startPostmaster(cmd, s.logPath(), s.account)
	if err == nil {
		s.postmaster = p
	}
	return p, err
}

// waitReady returns once the server takes connections, has ended, or ctx ends.
func (s *Server) waitReady(ctx context.Context, p *postmaster) error {
	poll := time.NewTicker(readyPoll)
	defer poll.Stop()
	for {
		reason := s.connect(ctx)
		if reason == nil {
			return nil
		}
		select {
		case <-p.exited:
			return fmt.Errorf("%w: %v", process.ErrExited, p.cmd.ProcessState)
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w (%w)", context.Cause(ctx), reason)
		case <-poll.C:
		}
	}
}

// connect connects once, and returns why that fails. It logs in, so that no other server that took the port can be meant.
func (s *Server) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	connection, err := pgconn.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return err
	}
	return connection.Close(ctx)
}
