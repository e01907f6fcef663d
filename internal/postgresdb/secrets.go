package postgresdb

import (
	"context"
	"crypto/tls"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// rereadSecrets returns a function that gives a new connection the password and the certificates that the files have now: the password
// file, of PGPASSFILE or of the URL, and the files of sslcert, sslkey and sslrootcert. While these files can't be read, a connection gets
// what was last read from them, because they may be being replaced. first is what was read at the start.
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
		connection.Password = current.Password
		connection.TLSConfig = currentTLS(current, connection.Host, connection.Port, connection.TLSConfig)
		for _, other := range connection.Fallbacks {
			other.TLSConfig = currentTLS(current, other.Host, other.Port, other.TLSConfig)
		}
		return nil
	}
}

// currentTLS returns the current TLS configuration for a host. A host can be called without TLS as well. Then old is nil, and the result
// too.
func currentTLS(current *pgx.ConnConfig, host string, port uint16, old *tls.Config) *tls.Config {
	if old == nil {
		return nil
	}
	first := &pgconn.FallbackConfig{Host: current.Host, Port: current.Port, TLSConfig: current.TLSConfig}
	for _, named := range append([]*pgconn.FallbackConfig{first}, current.Fallbacks...) {
		if named.Host == host && named.Port == port && named.TLSConfig != nil {
			return named.TLSConfig
		}
	}
	return old
}

// connConfig returns the current configuration of a connection outside of the pool.
func (db *DB) connConfig(ctx context.Context) (*pgx.ConnConfig, error) {
	config := db.pool.Config()
	return config.ConnConfig, config.BeforeConnect(ctx, config.ConnConfig)
}
