package postgresdb

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// poolerSessions is the number of a pooler's sessions that are compared. A running service has more. If one address leads to several
// poolers, at least two of these sessions are likely to be of the same pooler.
const poolerSessions = 4

// checkPooler refuses a pooler that gives a client another server session for each transaction, or one server session to several clients.
// This package needs sessions for its settings, prepared statements and notifications.
//
// A pooler gives a client a process id that is not that of the server's process. If both are the same, there is no pooler and nothing is
// compared. The check changes no settings: they would stay in sessions of other clients.
func (db *DB) checkPooler(ctx context.Context, config *pgxpool.Config) error {
	plain := config.ConnConfig.Copy()
	plain.ValidateConnect = nil
	// owners maps each process of the server to the pooler's session that it served.
	owners := map[uint32]int{}
	for owner := range min(poolerSessions, max(2, config.MaxConns)) {
		conn, err := pgx.ConnectConfig(ctx, plain)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close(ctx) }()
		// Asked twice, in case the pooler uses all its server sessions in turn.
		for ask := range 2 {
			var process uint32
			if err := conn.QueryRow(ctx, "SELECT pg_backend_pid()", pgx.QueryExecModeExec).Scan(&process); err != nil {
				return err
			}
			if process == conn.PgConn().PID() {
				return nil
			}
			if known, taken := owners[process]; taken && known != int(owner) || !taken && ask > 0 {
				return unusable("%s is a pooler that gives the same session of the server to several clients: set it to session mode "+
					"(PgBouncer: pool_mode = session), or name the server itself", db.name)
			}
			owners[process] = int(owner)
		}
	}
	return nil
}
