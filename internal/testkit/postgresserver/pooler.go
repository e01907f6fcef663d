package postgresserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ticketbridge/ticketbridge/internal/testkit/process"
)

// ErrNoPooler is returned if this machine has no PgBouncer.
var ErrNoPooler = errors.New("PgBouncer is not installed; on Debian: apt-get install pgbouncer")

// PoolerOptions are the options of [StartPooler].
type PoolerOptions struct {
	// URL is the URL of the database itself, with a password.
	URL string
	// Mode is the unit after which another client may use a session of the server: "session", "transaction" or "statement".
	Mode string
	// Size is the maximum number of sessions of the server.
	Size int
	// Extra are additional lines of the configuration.
	Extra string
	// Address is the listen address. Empty means a free port.
	Address string
}

// Pooler is a PgBouncer in front of a server.
type Pooler struct {
	folder, address string
	process         *postmaster
}

// StartPooler starts a pooler and waits until it accepts connections. The caller must call [Pooler.Close], except after an error. The error
// is [ErrNoPooler] if this machine has no PgBouncer.
func StartPooler(ctx context.Context, options PoolerOptions) (*Pooler, error) {
	// Debian installs PgBouncer into a folder that only root has in PATH.
	binary, err := exec.LookPath("pgbouncer")
	if err != nil {
		binary, err = exec.LookPath("/usr/sbin/pgbouncer")
	}
	if err != nil {
		return nil, ErrNoPooler
	}
	p := &Pooler{address: options.Address}
	if p.address == "" {
		if p.address, err = process.FreeAddress(); err != nil {
			return nil, err
		}
	}
	if p.folder, err = os.MkdirTemp("", "ticketbridge-pgbouncer-"); err != nil {
		return nil, fmt.Errorf("making PgBouncer's folder: %w", err)
	}
	if err := p.start(ctx, binary, options); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *Pooler) start(ctx context.Context, binary string, options PoolerOptions) error {
	server, err := pgconn.ParseConfig(options.URL)
	if err != nil {
		return errors.New("the URL of the pooler's database can't be read")
	}
	as, err := account()
	if err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(p.address)
	if err != nil {
		return err
	}
	quote := func(value string) string { return "'" + strings.ReplaceAll(value, "'", "''") + "'" }
	config := filepath.Join(p.folder, "pgbouncer.ini")
	// Clients send no password to the pooler. This is the password of the server.
	if err := os.WriteFile(config, fmt.Appendf(nil, `[databases]
* = host=%s port=%d user=%s password=%s
[pgbouncer]
listen_addr = %s
listen_port = %s
unix_socket_dir =
auth_type = any
pool_mode = %s
default_pool_size = %d
%s
`, quote(server.Host), server.Port, quote(server.User), quote(server.Password), host, port, options.Mode, options.Size, options.Extra),
		0o600); err != nil {
		return fmt.Errorf("writing PgBouncer's configuration: %w", err)
	}
	if err := errors.Join(give(p.folder, as), give(config, as)); err != nil {
		return fmt.Errorf("giving PgBouncer its folder: %w", err)
	}
	cmd := exec.Command(binary, config)
	cmd.Dir, cmd.Env = p.folder, environment()
	log := filepath.Join(p.folder, "log")
	if p.process, err = startPostmaster(cmd, log, as); err != nil {
		return fmt.Errorf("starting PgBouncer: %w", err)
	}
	poll := time.NewTicker(readyPoll)
	defer poll.Stop()
	for {
		conn, err := net.DialTimeout("tcp", p.address, readyTimeout)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-p.process.exited:
			text, _ := os.ReadFile(log)
			return fmt.Errorf("PgBouncer: %w: %v\n%s", process.ErrExited, p.process.cmd.ProcessState, text)
		case <-ctx.Done():
			return fmt.Errorf("PgBouncer is not ready: %w (%w)", context.Cause(ctx), err)
		case <-poll.C:
		}
	}
}

// Address returns the listen address of the pooler.
func (p *Pooler) Address() string { return p.address }

// URL returns the URL of a database through the pooler. databaseURL is its URL at the server.
func (p *Pooler) URL(server string) (string, error) {
	location, err := url.Parse(server)
	if err != nil {
		return "", errors.New("the URL of the pooler's database can't be read")
	}
	location.Host = p.address
	return location.String(), nil
}

// Close ends the pooler and all connections through it, and removes its folder.
func (p *Pooler) Close() error {
	if p.process != nil {
		p.process.kill()
	}
	return os.RemoveAll(p.folder)
}
