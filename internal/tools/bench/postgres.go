package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5"

	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresserver"
	"github.com/ticketbridge/ticketbridge/internal/testkit/process"
)

// postgres is the server that all parts with PostgreSQL share, one after the other. It is as durable as it is by default.
type postgres struct {
	server *postgresserver.Server
	// about says for the report what server it is.
	about string
	// databases is how many were made, which tells their names apart.
	databases int
}

// startPostgres starts a server with its data in a new folder in dir. The caller has to call close.
func startPostgres(ctx context.Context, dir string) (*postgres, error) {
	dir, passable, err := passableFolder(dir)
	if err != nil {
		return nil, err
	}
	starting, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	server, err := postgresserver.Start(starting, postgresserver.Options{Dir: dir})
	if err != nil {
		return nil, err
	}
	p := &postgres{server: server}
	if p.about, err = p.describe(ctx); err != nil {
		return nil, errors.Join(err, p.close())
	}
	if !passable {
		p.about += fmt.Sprintf("; ITS DATA IS IN %s, because the account it runs as can't reach the folder that was asked for", dir)
	}
	return p, nil
}

// close ends the server and removes its data.
func (p *postgres) close() error { return p.server.Close() }

// passableFolder returns the folder in which the server's own folder can be: dir, or the system's one for temporary files where
// PostgreSQL can't reach dir. It never runs as root, so with root's rights it runs as another account, and all folders above have to
// let others pass.
func passableFolder(dir string) (folder string, passable bool, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return "", false, err
	}
	if os.Geteuid() != 0 {
		return dir, true, nil
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return "", false, err
	}
	const othersPass = 0o001
	for folder := dir; ; folder = filepath.Dir(folder) {
		info, err := os.Stat(folder)
		if err != nil {
			return "", false, err
		}
		if info.Mode()&othersPass == 0 {
			return os.TempDir(), false, nil
		}
		if folder == filepath.Dir(folder) {
			return dir, true, nil
		}
	}
}

// describe returns the server's version, and the settings that speed hangs on most.
func (p *postgres) describe(ctx context.Context) (about string, err error) {
	err = p.connected(ctx, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT 'PostgreSQL ' || split_part(current_setting('server_version'), ' ', 1) || ': ' ||
 (SELECT string_agg(name || ' ' || current_setting(name), ', ' ORDER BY place)
  FROM unnest(ARRAY['fsync', 'synchronous_commit', 'full_page_writes', 'shared_buffers']) WITH ORDINALITY AS s (name, place))`).Scan(&about)
	})
	return about, err
}

// inDatabase calls f with the URL of a new database, which it drops afterwards. After an error of f it stays, since the server ends then.
func (p *postgres) inDatabase(ctx context.Context, f func(url string) error) error {
	name, err := p.newDatabase(ctx)
	if err != nil {
		return err
	}
	if err := f(p.server.URL(name)); err != nil {
		return err
	}
	return p.execute(ctx, "DROP DATABASE "+name+" WITH (FORCE)")
}

// newDatabase makes a database, and returns its name.
func (p *postgres) newDatabase(ctx context.Context) (name string, err error) {
	p.databases++
	name = fmt.Sprintf("bench_%d", p.databases)
	return name, p.execute(ctx, "CREATE DATABASE "+name)
}

func (p *postgres) execute(ctx context.Context, statement string) error {
	return p.connected(ctx, func(conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
		return nil
	})
}

// connected calls f with a connection of its own, so that none is open while something is measured.
func (p *postgres) connected(ctx context.Context, f func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, p.server.URL("postgres"))
	if err != nil {
		return err
	}
	return errors.Join(f(conn), conn.Close(context.WithoutCancel(ctx)))
}

// usage returns what the server has used. How much memory its processes share can't be told from outside, so that stays 0.
func (p *postgres) usage() (process.Usage, error) {
	cpu, err := p.server.CPU()
	return process.Usage{CPU: cpu}, err
}
