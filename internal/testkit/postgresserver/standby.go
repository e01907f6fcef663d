package postgresserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/ticketbridge/ticketbridge/internal/testkit/process"
)

// StartStandby copies the server, starts the copy as a standby that streams from primary, and waits until the standby accepts read-only
// connections. primary is the address of the server, or of a proxy to it. The standby has the server's settings and password, another
// address, and no synchronous standby. The caller must call [Server.Close]. Errors: those of [Start].
func (s *Server) StartStandby(ctx context.Context, primary string) (*Server, error) {
	folder, err := os.MkdirTemp(filepath.Dir(s.folder), "ticketbridge-postgres-")
	if err != nil {
		return nil, fmt.Errorf("making PostgreSQL's folder: %w", err)
	}
	standby := &Server{binaries: s.binaries, folder: folder, account: s.account, password: s.password}
	if err = standby.copyFrom(ctx, primary, s.settings); err == nil {
		err = standby.start(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	return standby, nil
}

// copyFrom creates the server's files from those of a running server, and chooses its settings.
func (s *Server) copyFrom(ctx context.Context, primary string, settings []string) error {
	primaryHost, primaryPort, err := net.SplitHostPort(primary)
	if err != nil {
		return err
	}
	if err := give(s.folder, s.account); err != nil {
		return fmt.Errorf("giving PostgreSQL its folder: %w", err)
	}
	backup := exec.CommandContext(ctx, filepath.Join(s.binaries, "pg_basebackup"), "--pgdata", s.data(), "--checkpoint=fast",
		"--write-recovery-conf", "--no-sync")
	// The password is in the environment, because other users can read the command line of a process. pg_basebackup writes it into the
	// standby's settings.
	backup.Env = append(environment(), "PGHOST="+primaryHost, "PGPORT="+primaryPort, "PGUSER="+superuser, "PGPASSWORD="+s.password,
		"PGSSLMODE=disable", "PGGSSENCMODE=disable")
	backup.Dir, backup.SysProcAttr = s.folder, &syscall.SysProcAttr{Credential: s.account}
	if output, err := backup.CombinedOutput(); ctx.Err() != nil {
		return fmt.Errorf("pg_basebackup: %w", context.Cause(ctx))
	} else if err != nil {
		return fmt.Errorf("pg_basebackup: %w\n%s", err, output)
	}
	if s.address, err = process.FreeAddress(); err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(s.address)
	if err != nil {
		return err
	}
	// If a setting is there twice, the last one counts.
	s.settings = append(append(s.settings, settings...), "-c", "listen_addresses="+host, "-c", "port="+port,
		"-c", "synchronous_standby_names=")
	return nil
}
