package postgresdb

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// IsURL reports whether a database URL is meant for this package.
func IsURL(databaseURL string) bool {
	return strings.HasPrefix(databaseURL, "postgres://") || strings.HasPrefix(databaseURL, "postgresql://")
}

// Name returns a name of the database for people and logs, without user and password. It returns an error if the URL can't be one of
// PostgreSQL. The error does not repeat the URL, which can hold a password.
func Name(databaseURL string) (string, error) {
	config, err := parse(Options{URL: databaseURL})
	if err != nil {
		return "", err
	}
	return nameOf(config), nil
}

// parse returns a pool's configuration for the options.
func parse(options Options) (*pgxpool.Config, error) {
	// pgx accepts "key=value" strings too. Our settings promise a URL.
	if !IsURL(options.URL) || isAmbiguous(options.URL) {
		return nil, errBadURL
	}
	config, err := pgxpool.ParseConfig(options.URL)
	if err != nil {
		return nil, explainURL(options.URL, err)
	}
	parameters, err := pgx.ParseConfig(options.URL)
	if err != nil {
		return nil, errBadURL
	}
	if _, ok := parameters.RuntimeParams["pool_max_conns"]; !ok {
		config.MaxConns = int32(max(2, options.Connections))
	}
	connection := config.ConnConfig
	if connection.ConnectTimeout == 0 {
		connection.ConnectTimeout = connectTimeout
	}
	if connection.RuntimeParams["application_name"] == "" && options.Schema != "" {
		connection.RuntimeParams["application_name"] = options.Schema
	}
	// The driver's own dialer probes a silent server only every five minutes.
	connection.DialFunc = (&net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: keepAlive, Interval: keepAlive, Count: keepAlives},
		Control:         setTCPUserTimeout,
	}).DialContext
	config.BeforeConnect = rereadSecrets(options.URL, parameters)
	connection.OnNotice = recordUnconfirmed
	wanted := connection.ValidateConnect
	connection.ValidateConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		// setUp comes first, because the driver may use a connection that is not the wanted one if there is no better one.
		if err := setUp(ctx, conn); err != nil || wanted == nil {
			return err
		}
		return wanted(ctx, conn)
	}
	return config, nil
}

// nameOf is like [Name].
func nameOf(config *pgxpool.Config) string {
	c := config.ConnConfig
	hosts := []string{hostOf(c.Host, c.Port)}
	for _, other := range c.Fallbacks {
		// Each host is in the list twice if it is tried with and without TLS.
		if host := hostOf(other.Host, other.Port); !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	return fmt.Sprintf("postgres://%s/%s", strings.Join(hosts, ","), c.Database)
}

func hostOf(host string, port uint16) string {
	if strings.HasPrefix(host, "/") {
		return host
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}
