package postgresdb_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/ticketbridge/ticketbridge/internal/postgresdb"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
)

// checkSettings checks each connection that the pool can have, all open at the same time.
func checkSettings(t *testing.T, db *postgresdb.DB) {
	t.Helper()
	want := map[string]string{
		"plan_cache_mode":                     "force_custom_plan",
		"default_transaction_isolation":       "read committed",
		"idle_session_timeout":                "0",
		"idle_in_transaction_session_timeout": "5s",
		"lock_timeout":                        "4s",
		"statement_timeout":                   "30s",
		"tcp_keepalives_idle":                 "5",
		"tcp_keepalives_interval":             "5",
		"tcp_keepalives_count":                "3",
		"tcp_user_timeout":                    "20000",
		"jit":                                 "off",
	}
	for range db.Pool().Config().MaxConns {
		conn, err := db.Pool().Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Release()
		got := map[string]string{}
		for name := range want {
			got[name] = mustRead[string](t, conn.Conn(), "SHOW "+name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestOpen_everyConnectionHasTheSettings(t *testing.T) {
	t.Parallel()
	url := postgresql.Database(t)
	admin := postgresql.Connect(t, url)
	database := pgx.Identifier{mustRead[string](t, admin, "SELECT current_database()")}.Sanitize()
	for _, setting := range []string{"plan_cache_mode = force_generic_plan", "default_transaction_isolation = serializable", "jit = on",
		"idle_session_timeout = '1h'", "idle_in_transaction_session_timeout = 0", "lock_timeout = 0", "statement_timeout = 0"} {
		mustExec(t, admin, "ALTER DATABASE "+database+" SET "+setting)
	}
	db := mustOpen(t, options(withParameter(t, url, "statement_timeout", "0")))
	if got := db.Pool().Config().MaxConns; got != 4 {
		t.Errorf("%d connections at the most, want the 4 of the options", got)
	}
	checkSettings(t, db)
	if ended := terminateAll(t, admin); ended != 4 {
		t.Errorf("%d connections were there, want 4", ended)
	}
	db.Pool().Reset()
	checkSettings(t, db)
}

func TestOpen_urlOverridesTheSettings(t *testing.T) {
	t.Parallel()
	url := postgresql.Database(t)
	db := mustOpen(t, options(withParameter(t, withParameter(t, url, "pool_max_conns", "3"), "application_name", "replica-7")))
	if got := db.Pool().Config().MaxConns; got != 3 {
		t.Errorf("%d connections at the most, want the 3 of the URL", got)
	}
	if count := mustRead[int](t, postgresql.Connect(t, url), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"+
		" AND application_name = 'replica-7'"); count == 0 {
		t.Error("no connection has the URL's application_name")
	}
}

// It is not parallel, because the environment is that of the whole process.
func TestOpen_environmentCompletesTheURL(t *testing.T) {
	const url = "postgres://u@h/db"
	for _, test := range []struct{ variable, query, want string }{
		{"", "", "5s"},
		{"", "?connect_timeout=7", "7s"},
		{"9", "", "9s"},
		{"9", "?connect_timeout=7", "7s"},
		{"", "?connect_timeout=0", "5s"},
	} {
		t.Setenv("PGCONNECT_TIMEOUT", test.variable)
		if got, err := postgresdb.ConnectTimeout(url + test.query); err != nil || got.String() != test.want {
			t.Errorf("PGCONNECT_TIMEOUT=%s, %s: %v, %v; want %s", test.variable, url+test.query, got, err, test.want)
		}
	}
}
