package postgresdb

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// recheckInterval is the age of a connection's last check of fsync at which the check is repeated: fsync changes with a reload of the
// server's configuration, even for open connections. synchronous_commit is fixed for each session.
const recheckInterval = time.Minute

// prepareConn reports whether a connection of the pool may be used now. If it may not, the pool makes another one. If that one can't be
// used either, [setUp] returns the reason.
func (db *DB) prepareConn(ctx context.Context, conn *pgx.Conn) (valid bool, err error) {
	known, now := sessionOf(conn), time.Now()
	if !known.expiry.IsZero() && !now.Before(known.expiry) {
		return false, nil
	}
	if now.Sub(known.checked) < db.recheckInterval {
		return true, nil
	}
	results, err := conn.PgConn().Exec(ctx, "SHOW fsync").ReadAll()
	if err != nil || string(results[0].Rows[0][0]) != "on" {
		return false, nil //nolint:nilerr // A connection that fails here is not used, and another one is made.
	}
	known.checked = now
	return true, nil
}
