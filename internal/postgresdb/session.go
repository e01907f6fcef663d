package postgresdb

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// serverFacts queries the properties by which a server is checked, and the process id of the server's process for the connection. Behind a
// pooler, the connection itself was given another process id.
const serverFacts = `SELECT current_setting('server_version_num'), current_setting('server_encoding'), current_setting('fsync'),
	current_setting('synchronous_commit'), pg_is_in_recovery() OR current_setting('transaction_read_only')::bool, pg_backend_pid();
`

// sessionSettings apply to every connection, whatever the defaults of the server, the database or the user.
//
// The timeouts are for replicas that hang or vanish while they hold locks for which others wait: the server ends their transactions, and
// detects within seconds that the machine at the other end is gone. Without them it would wait for hours. Sessions that are idle outside of
// a transaction hold nothing, and are not ended: the pool keeps some, and [DB.Listen] waits for notifications for days.
//
// Plans are made anew for each execution: a plan that was made and kept for a table of a hundred rows reads the whole table when it has a
// million, and the tables of a queue go from empty to full and back within minutes.
//
// synchronous_commit is fixed at the value that is checked below: otherwise it would follow the server's configuration on open connections.
//
// The advisory lock is [SessionMark].
var sessionSettings = fmt.Sprintf(`
SET plan_cache_mode = force_custom_plan;
SET default_transaction_isolation = 'read committed';
SET idle_session_timeout = 0;
SET idle_in_transaction_session_timeout = '5s';
SET lock_timeout = '4s';
SET statement_timeout = '30s';
SET tcp_keepalives_idle = 5;
SET tcp_keepalives_interval = 5;
SET tcp_keepalives_count = 3;
SET tcp_user_timeout = '20s';
SET jit = off;
SELECT set_config('synchronous_commit', current_setting('synchronous_commit'), false);
SELECT pg_advisory_lock_shared(%d, 0);
`, SessionMark)

// SessionMark is the first number of the advisory lock that each session of this package shares. The second number is 0. The lock shows
// others which sessions are of this package. Names that an operator sets, such as application_name, can't show that.
const SessionMark = 0x7469636b

// session is what is known about an open connection.
type session struct {
	// server is the server's network address. pid is the id of the server's process.
	server string
	pid    int
	// expiry is the time when the connection must be replaced, because its server can't be written to and another one may be writable. Zero
	// means never.
	expiry time.Time
	// checked is the time of the last check that the server is durable.
	checked time.Time
	// unconfirmed is set if a commit of the connection did not wait for the standby since [DB.Write] last looked.
	unconfirmed bool
}

// readOnlyLifetime is the time for which a connection to a read-only server is used for reads. After it the service looks for a server that
// can be written to.
const readOnlyLifetime = time.Second

// readOnlyKey is the key of a context that accepts connections to read-only servers.
type readOnlyKey struct{}

// acquireForReading returns a connection for reads. If no server can be written to, the connection is to a server that can be read.
func (db *DB) acquireForReading(ctx context.Context) (*pgxpool.Conn, error) {
	conn, err := db.pool.Acquire(ctx)
	if errors.Is(err, errReadOnlyServer) {
		conn, err = db.pool.Acquire(context.WithValue(ctx, readOnlyKey{}, true))
	}
	return conn, err
}

// sessionKey is the key of a connection's [session].
const sessionKey = "ticketbridge session"

func sessionOf(conn *pgx.Conn) *session {
	known, _ := conn.PgConn().CustomData()[sessionKey].(*session)
	return known
}

// setUp prepares a new connection. It refuses the connection if writes through it would not be durable. It also refuses a read-only
// connection, except if ctx accepts one.
func setUp(ctx context.Context, conn *pgconn.PgConn) error {
	// serverFacts comes first, because a server that is too old may not know the settings.
	results, err := conn.Exec(ctx, serverFacts+sessionSettings).ReadAll()
	if len(results) == 0 || len(results[0].Rows) != 1 || len(results[0].Rows[0]) != 6 {
		return errors.Join(errors.New("setting up a connection: the server returned none of its properties"), err)
	}
	row := results[0].Rows[0]
	if err := checkServer(string(row[0]), string(row[1]), string(row[2]), string(row[3])); err != nil {
		return err
	}
	var expiry time.Time
	if string(row[4]) == "t" {
		if ctx.Value(readOnlyKey{}) == nil {
			return errReadOnlyServer
		}
		expiry = time.Now().Add(readOnlyLifetime)
	}
	if err != nil {
		return fmt.Errorf("setting up a connection: %w", err)
	}
	pid, err := strconv.Atoi(string(row[5]))
	if err != nil {
		return fmt.Errorf("setting up a connection: %w", err)
	}
	conn.CustomData()[sessionKey] = &session{server: serverOf(conn), pid: pid, expiry: expiry, checked: time.Now()}
	return nil
}

// refusal is the reason why a server can't be used, and the fix.
type refusal string

// Error implements error.
func (r refusal) Error() string { return string(r) }

// errReadOnlyServer refuses a server that can't be written to.
const errReadOnlyServer = refusal("is a read-only replica, or set read-only: name the primary")

// checkServer returns the reason why a server can't be used, as a [refusal]. Every level of synchronous_commit except off waits until the
// commit is on the primary's own disk.
func checkServer(version, encoding, fsync, synchronousCommit string) error {
	number, err := strconv.Atoi(version)
	switch {
	case err != nil || number < minVersion:
		return refusal(fmt.Sprintf("is PostgreSQL %d (%s), which is too old: use version %d or newer", number/1_00_00, version,
			minVersion/1_00_00))
	case encoding != "UTF8":
		return refusal(fmt.Sprintf("has encoding %s: make the database with encoding UTF8", encoding))
	case fsync != "on":
		return refusal(fmt.Sprintf("has fsync = %s, so that a crash loses what was acknowledged: set it on", fsync))
	case synchronousCommit == "off":
		return refusal("has synchronous_commit off for this user and database, so that a crash loses what was acknowledged: set it on")
	}
	return nil
}
