package postgresdb

import (
	"context"
	"errors"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// poolerSessions is how many sessions of a pooler are compared. A service has more once it works. If one address leads to several poolers,
// at least two of these sessions are likely to be of the same pooler.
const poolerSessions = 4

// checkPooler refuses a pooler that gives a client another session of the server for each transaction, or one session to several clients.
// All that this package promises is about sessions: their settings, prepared statements, listening.
//
// A pooler gives a client another process id than that of the server's process, so nothing is compared where both are the same. The check
// sets nothing up: what it set would stay in sessions of others.
func (db *DB) checkPooler(ctx context.Context, config *pgxpool.Config) error {
	plain := config.ConnConfig.Copy()
	plain.ValidateConnect = nil
	// owners are the sessions of the pooler by the server's process that served them.
	owners := map[uint32]int{}
	for owner := range min(poolerSessions, max(2, config.MaxConns)) {
		conn, err := pgconn.ConnectConfig(ctx, &plain.Config)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close(ctx) }()
		// Twice, in case that the pooler goes round all sessions of the server that it has.
		for ask := range 2 {
			process, err := serverProcess(ctx, conn)
			if err != nil {
				return err
			}
			if process == conn.PID() {
				return nil
			}
			if of, taken := owners[process]; taken && of != int(owner) || !taken && ask > 0 {
				return unusable("%s is a pooler that gives the same session of the server to several clients: set it to session mode "+
					"(PgBouncer: pool_mode = session), or name the server itself", db.name)
			}
			owners[process] = int(owner)
		}
	}
	return nil
}

// serverProcess returns the process of the server that serves a connection at the moment.
func serverProcess(ctx context.Context, conn *pgconn.PgConn) (uint32, error) {
	results, err := conn.Exec(ctx, "SELECT pg_backend_pid()").ReadAll()
	if err != nil {
		return 0, err
	}
	if len(results) != 1 || len(results[0].Rows) != 1 {
		return 0, errors.New("asking for the server's process id: the server returned none")
	}
	process, err := strconv.ParseUint(string(results[0].Rows[0][0]), 10, 32)
	return uint32(process), err
}
