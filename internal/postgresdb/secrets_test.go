package postgresdb_test

import (
	"crypto/tls"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/ticketbridge/ticketbridge/internal/postgresdb"
	"github.com/ticketbridge/ticketbridge/internal/testkit/certificates"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
)

// TestOpen_passwordFileChanges changes a role's password and the file that holds it, and ends all sessions, so that new ones are needed:
// those of the pool, and the one that listens.
func TestOpen_passwordFileChanges(t *testing.T) {
	for name, source := range map[string]func(t *testing.T, location, file string) string{
		"PGPASSFILE": func(t *testing.T, location, file string) string {
			t.Setenv("PGPASSFILE", file)
			return location
		},
		"passfile in the URL": func(t *testing.T, location, file string) string {
			return withParameter(t, location, "passfile", file)
		},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "passwords")
			superuser := postgresql.Server(t, nil).URL("postgres")
			admin := postgresql.Connect(t, superuser)
			mustExec(t, admin, "CREATE ROLE service LOGIN PASSWORD 'old-password'")
			mustExec(t, admin, "GRANT CREATE ON DATABASE postgres TO service")
			mustWritePassword(t, file, "old-password")
			db := mustOpen(t, options(source(t, edited(t, superuser, func(u *url.URL) { u.User = url.User("service") }), file)))
			woken := listen(t, db, "news")
			waitWoken(t, woken, "at the start")
			if err := db.Write(t.Context(), inserting(1)); err != nil {
				t.Fatal(err)
			}

			mustExec(t, admin, "ALTER ROLE service PASSWORD 'new-password'")
			terminateAll(t, admin)
			checkUnavailable(t, "Write with the old password", db.Write(t.Context(), inserting(2)))
			mustWritePassword(t, file, "new-password")
			if err := db.Write(t.Context(), inserting(2)); err != nil {
				t.Errorf("Write with the new password: %v", err)
			}
			waitWoken(t, woken, "after it has reconnected")
			// While the file is missing, its last content stays in use: the file may be being replaced.
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			terminateAll(t, admin)
			if err := db.Write(t.Context(), inserting(3)); err != nil {
				t.Errorf("Write without the password file: %v", err)
			}
		})
	}
}

// TestRereadSecrets_certificateChanges replaces the file of sslrootcert, and then removes it.
func TestRereadSecrets_certificateChanges(t *testing.T) {
	t.Parallel()
	files := certificates.MustCreate(t)
	next, err := postgresdb.NextConnection("postgres://u@a:1,b:2/db?sslmode=verify-full&sslrootcert=" + url.QueryEscape(files.Certificate))
	if err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		connection := next(t.Context())
		if len(connection.Fallbacks) != 1 {
			t.Fatalf("%s: servers besides the first: %v, want one", when, connection.Fallbacks)
		}
		for host, config := range map[string]*tls.Config{"a": connection.TLSConfig, "b": connection.Fallbacks[0].TLSConfig} {
			if config == nil || config.ServerName != host || !config.RootCAs.Equal(files.MustPool(t)) {
				t.Errorf("%s: host %s is checked with %+v, want its name and the current certificate", when, host, config)
			}
		}
	}
	check("at the start")
	files.MustReplace(t)
	check("after the file was replaced")
	current := files.MustPool(t)
	if err := os.Remove(files.Certificate); err != nil {
		t.Fatal(err)
	}
	if config := next(t.Context()).TLSConfig; !config.RootCAs.Equal(current) {
		t.Error("without the file: another certificate, want the last one")
	}
}

func mustWritePassword(t *testing.T, file, password string) {
	t.Helper()
	if err := os.WriteFile(file, fmt.Appendf(nil, "*:*:*:service:%s\n", password), 0o600); err != nil {
		t.Fatal(err)
	}
}
