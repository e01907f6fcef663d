package postgresdb

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// probe writes 1 MiB, more than most transactions do, to a table that nobody else sees, and rolls back. The table is unlogged, so that the
// write-ahead log does not grow. It is in the service's schema, because temporary tables can be in another tablespace. Its column has a
// type of fixed length, for which the server makes no second table.
const probe = `begin;
CREATE UNLOGGED TABLE %[1]s.space_probe (filler name);
INSERT INTO %[1]s.space_probe SELECT 'x' FROM generate_series(1, 11000);
rollback`

// probeSpace finds out, after a write failed for lack of space, whether there is space again, and returns the error if there is none. Other
// writes do not show this: small ones find space within the tables, and while [DB.Ping] fails there may be no writes at all.
func (db *DB) probeSpace(ctx context.Context) error {
	failed := db.full.Load()
	if failed == nil {
		return nil
	}
	err := db.writeOnce(ctx, false, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.PgConn().Exec(ctx, fmt.Sprintf(probe, db.schema)).ReadAll()
		return err
	})
	// For a user without the privilege to make tables, only the next write can show it.
	if err != nil && codeOf(err) != insufficientPrivilege {
		return err
	}
	// The failure stays if another write has failed meanwhile.
	db.full.CompareAndSwap(failed, nil)
	return nil
}
