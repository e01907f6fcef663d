package postgresdb

import (
	"context"
	"sync"

	"github.com/jackc/pgx/v5"
)

// rereadSecrets returns a function that gives a new connection the password and the certificates that the files have now: the password
// file, of PGPASSFILE or of the URL, and the files of sslcert, sslkey and sslrootcert. While these files can't be read, a connection gets
// what was last read from them, because they may be being replaced. first is what was read at the start. The servers of the connection are
// in the order of the URL.
func rereadSecrets(url string, first *pgx.ConnConfig) func(context.Context, *pgx.ConnConfig) error {
	var mu sync.Mutex
	last := first
	return func(_ context.Context, connection *pgx.ConnConfig) error {
		mu.Lock()
		defer mu.Unlock()
		current, err := pgx.ParseConfig(url)
		if err != nil {
			current = last
		}
		// If the password file is missing, or has no line for the database, the driver reports no error and uses no password.
		if current.Password == "" {
			current.Password = last.Password
		}
		last = current
		// The certificates belong to the servers.
		setHosts(connection, hostsOf(current.Copy()))
		connection.Password = current.Password
		return nil
	}
}

// connConfig returns the current configuration of a connection outside of the pool.
func (db *DB) connConfig(ctx context.Context) (*pgx.ConnConfig, error) {
	config := db.pool.Config()
	return config.ConnConfig, config.BeforeConnect(ctx, config.ConnConfig)
}
