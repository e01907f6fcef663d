package postgresdb

import (
	"cmp"
	"context"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// servers sorts the servers for each new connection: first the server that answered last, then the others in the order of the URL, and last
// one that hangs. For a server that hangs, a new connection waits for the whole connect timeout.
type servers struct {
	resolve pgconn.LookupFunc

	mu sync.Mutex
	// addresses are the addresses of hosts, by host name.
	addresses map[string][]string
	// answered is the network address of the server that answered last. hung is the network address of the server that stopped answering.
	answered, hung string
}

// track makes the connections of config record which server answers.
func (s *servers) track(config *pgx.ConnConfig) {
	s.resolve, s.addresses = config.LookupFunc, map[string][]string{}
	config.LookupFunc = s.lookUp
	validate := config.ValidateConnect
	config.ValidateConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		err := validate(ctx, conn)
		// A server that refuses the connection has answered too: it is a standby, and it will be the first to know when it is the primary.
		if !isContext(err) && !isNetwork(err) {
			s.recordAnswer(serverOf(conn))
		}
		return err
	}
}

// serverOf returns the network address of a connection's server.
func serverOf(conn *pgconn.PgConn) string { return conn.Conn().RemoteAddr().String() }

func (s *servers) recordAnswer(address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answered = address
	if s.hung == address {
		s.hung = ""
	}
}

func (s *servers) lastAnswered() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answered
}

// recordHang records that a server does not answer any more.
func (s *servers) recordHang(address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answered == address {
		s.answered = ""
	}
	s.hung = address
}

// lookUp is a [pgconn.LookupFunc]. It sorts the addresses of a host that has several.
func (s *servers) lookUp(ctx context.Context, host string) ([]string, error) {
	found, err := s.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addresses[host] = found
	rank := func(address string) int {
		return s.rank(func(server string) bool { return strings.HasPrefix(server, net.JoinHostPort(address, "")) })
	}
	sorted := slices.Clone(found)
	slices.SortStableFunc(sorted, func(a, b string) int { return cmp.Compare(rank(a), rank(b)) })
	return sorted, nil
}

// sort sorts the hosts of a configuration.
func (s *servers) sort(config *pgx.ConnConfig) {
	s.mu.Lock()
	defer s.mu.Unlock()
	hosts := hostsOf(config)
	rank := func(host *pgconn.FallbackConfig) int {
		return s.rank(func(server string) bool { return s.has(host, server) })
	}
	slices.SortStableFunc(hosts, func(a, b *pgconn.FallbackConfig) int { return cmp.Compare(rank(a), rank(b)) })
	setHosts(config, hosts)
}

// keepOnly leaves only the server at that network address in config. It returns false if config does not have the server.
func (s *servers) keepOnly(config *pgx.ConnConfig, server string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	hosts := hostsOf(config)
	i := slices.IndexFunc(hosts, func(host *pgconn.FallbackConfig) bool { return s.has(host, server) })
	if i < 0 {
		return false
	}
	setHosts(config, hosts[i:i+1])
	if address, _, err := net.SplitHostPort(server); err == nil {
		config.LookupFunc = func(context.Context, string) ([]string, error) { return []string{address}, nil }
	}
	return true
}

// hostsOf returns the servers of a configuration. For the driver the first one is not among the fallbacks.
func hostsOf(config *pgx.ConnConfig) []*pgconn.FallbackConfig {
	return append([]*pgconn.FallbackConfig{{Host: config.Host, Port: config.Port, TLSConfig: config.TLSConfig}}, config.Fallbacks...)
}

func setHosts(config *pgx.ConnConfig, hosts []*pgconn.FallbackConfig) {
	config.Host, config.Port, config.TLSConfig, config.Fallbacks = hosts[0].Host, hosts[0].Port, hosts[0].TLSConfig, hosts[1:]
}

// rank returns the rank of a candidate in the order of attempts, lowest first. has reports whether the candidate has a server. The caller
// holds mu.
func (s *servers) rank(has func(server string) bool) int {
	switch {
	case s.answered != "" && has(s.answered):
		return 0
	case s.hung != "" && has(s.hung):
		return 2
	default:
		return 1
	}
}

// has reports whether a host is the server at that network address, or has it among its addresses. The caller holds mu.
func (s *servers) has(host *pgconn.FallbackConfig, server string) bool {
	if strings.HasPrefix(host.Host, "/") {
		_, path := pgconn.NetworkAddress(host.Host, host.Port)
		return path == server
	}
	port := strconv.Itoa(int(host.Port))
	return slices.ContainsFunc(s.addresses[host.Host], func(address string) bool { return net.JoinHostPort(address, port) == server })
}
