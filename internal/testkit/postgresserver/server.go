// Package postgresserver runs a separate PostgreSQL server from the binaries of this machine, in a new folder and on a loopback port. The
// tests, the end-to-end tests and the benchmark use it.
//
// The server is as durable as PostgreSQL is by default: fsync, full_page_writes and synchronous_commit are on. On Linux the server ends
// with the process that started it, even after a crash. Only its folder stays if [Server.Close] was not called.
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
	// superuser is the only role of a new server.
	superuser = "postgres"
	// readyPoll is the pause between two checks of readiness. It is short compared with a start, which takes tens of milliseconds.
	readyPoll = 10 * time.Millisecond
	// readyTimeout is the maximum time of one check, so that a server that accepts a connection and does not answer is checked again.
	readyTimeout = 2 * time.Second
)

// Options are the options of [Start]. The zero value is usable.
type Options struct {
	// Dir is the folder in which the server's folder is created. Empty means [os.TempDir]. If this process runs as root, the server runs as
	// another account (postgres, otherwise nobody). That account must be able to reach Dir; it can't reach a [testing.T.TempDir].
	Dir string
	// Settings are settings of postgresql.conf by their names. They override the settings that Start chooses (128 MB of shared buffers, 200
	// connections, a write-ahead log of up to 4 GB between two checkpoints), except the address and the port.
	Settings map[string]string
}

// Server is a PostgreSQL server. Its methods are safe for concurrent use.
type Server struct {
	binaries, folder  string
	account           *syscall.Credential
	password, address string
	settings          []string

	// mu guards postmaster, the last run of the server.
	mu         sync.Mutex
	postmaster *postmaster
}

// Start creates a server with one role, a superuser with a random password. It starts the server and waits until the server accepts
// connections. The caller must call [Server.Close].
//
// ctx limits only the wait: the server runs on after ctx has ended. If Start fails, nothing is left. The error is [ErrNotInstalled] if this
// machine has no PostgreSQL, [process.ErrExited] if the server ended by itself, and ctx's error if ctx ended first.
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

// Restart starts a server that has ended, with the same address and data, and waits until it accepts connections. The error is
// [process.ErrRunning] if the server has not ended. All other errors are those of [Start].
func (s *Server) Restart(ctx context.Context) error { return s.start(ctx) }

// Stop ends the server in fast mode: the server cancels all statements, closes all connections, and writes a checkpoint. If ctx ends first,
// the server is killed and the error is [process.ErrKilled]. Stop does nothing if the server has ended before.
func (s *Server) Stop(ctx context.Context) error {
	p := s.current()
	if p.hasExited() {
		return nil
	}
	// The only error is that the server has ended.
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

// Kill ends the server in immediate mode, which is like a crash: nothing more is written, connections break, and the next start recovers
// from the write-ahead log. Kill returns when the server has ended, and does nothing if it has ended before.
//
// Kill does not send SIGKILL: the backends would then run on for a moment, and a new start would be refused until they have ended.
func (s *Server) Kill() { s.current().kill() }

// Close ends the server like [Server.Kill], and removes its folder with all data. The server can't be used after Close.
func (s *Server) Close() error {
	s.Kill()
	return os.RemoveAll(s.folder)
}

// Address returns the listen address of the server, as host:port. It stays the same after a restart.
func (s *Server) Address() string { return s.address }

// URL returns the URL of a database of the server, with the superuser and the password. The database "postgres" always exists.
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

// start starts the server and waits until it accepts connections. After an error the server does not run.
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

// waitReady returns when the server accepts connections, the server has ended, or ctx has ended.
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

// connect connects once. It logs in, so that another server on the same port is not mistaken for this server.
func (s *Server) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	connection, err := pgconn.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return err
	}
	return connection.Close(ctx)
}
