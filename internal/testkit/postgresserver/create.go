package postgresserver

import (
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/ticketbridge/ticketbridge/internal/testkit/process"
)

// create creates the server's files and chooses its settings.
func (s *Server) create(ctx context.Context, settings map[string]string) error {
	if err := give(s.folder, s.account); err != nil {
		return fmt.Errorf("giving PostgreSQL its folder: %w", err)
	}
	if err := s.initialise(ctx); err != nil {
		return err
	}
	// The port is chosen late, because another process may take it until the server listens.
	var err error
	if s.address, err = process.FreeAddress(); err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(s.address)
	if err != nil {
		return err
	}
	all := map[string]string{
		"shared_buffers":  "128MB",
		"max_connections": "200",
		"max_wal_size":    "4GB",
		// The path of a socket may have some 100 bytes only, and nothing here needs one.
		"unix_socket_directories": "",
	}
	maps.Copy(all, settings)
	all["listen_addresses"], all["port"] = host, port
	for _, name := range slices.Sorted(maps.Keys(all)) {
		s.settings = append(s.settings, "-c", name+"="+all[name])
	}
	return nil
}

// initialise runs initdb.
func (s *Server) initialise(ctx context.Context) error {
	// The password is in a file, because other users can read the command line of a process.
	password := filepath.Join(s.folder, "password")
	if err := os.WriteFile(password, []byte(s.password), 0o600); err != nil {
		return fmt.Errorf("writing PostgreSQL's password: %w", err)
	}
	if err := give(password, s.account); err != nil {
		return fmt.Errorf("writing PostgreSQL's password: %w", err)
	}
	// These files are not needed after a crash of the machine, so initdb does not wait for the disk. The server does.
	initdb := exec.CommandContext(ctx, filepath.Join(s.binaries, "initdb"), "--pgdata", s.data(), "--username", superuser,
		"--pwfile", password, "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync")
	initdb.Dir, initdb.Env = s.folder, environment()
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: s.account}
	if output, err := initdb.CombinedOutput(); ctx.Err() != nil {
		return fmt.Errorf("initdb: %w", context.Cause(ctx))
	} else if err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, output)
	}
	return os.Remove(password)
}

// environment returns the environment of this process without the variables that change the paths or the language of PostgreSQL.
func environment() []string {
	inherited := slices.DeleteFunc(os.Environ(), func(entry string) bool {
		return strings.HasPrefix(entry, "PG") || strings.HasPrefix(entry, "LC_") || strings.HasPrefix(entry, "LANG")
	})
	return append(inherited, "LC_ALL=C")
}
