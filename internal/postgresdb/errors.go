package postgresdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/puddle/v2"
)

var (
	// ErrUnavailable is returned if the database can't be used at the moment, or if it is unknown whether a call had an effect. A retry may
	// succeed.
	ErrUnavailable = errors.New("database is unavailable")
	// ErrReadOnly is the [ErrUnavailable] of a database that can be read but not written to at the moment.
	ErrReadOnly = fmt.Errorf("%w: it is read-only", ErrUnavailable)
	// ErrUnusable is returned if the database can't be opened as it is. The text names the server and the fix.
	ErrUnusable = errors.New("database can't be used")
)

func unusable(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrUnusable, fmt.Sprintf(format, args...))
}

// PostgreSQL's error codes: https://www.postgresql.org/docs/current/errcodes-appendix.html
const (
	featureNotSupported   = "0A000"
	invalidParameterValue = "22023"
	uniqueViolation       = "23505"
	readOnlyTransaction   = "25006"
	idleInTransaction     = "25P03"
	longTransaction       = "25P04"
	invalidStatementName  = "26000"
	invalidPassword       = "28P01"
	invalidAuthorization  = "28000"
	noSuchDatabase        = "3D000"
	invalidSchemaName     = "3F000"
	serializationFailure  = "40001"
	deadlockDetected      = "40P01"
	insufficientPrivilege = "42501"
	undefinedColumn       = "42703"
	undefinedObject       = "42704"
	undefinedTable        = "42P01"
	duplicateStatement    = "42P05"
	noConflictIndex       = "42P10"
	diskFull              = "53100"
	tooManyConnections    = "53300"
	fixedParameter        = "55P02"
	lockNotAvailable      = "55P03"
	cannotConnectNow      = "57P03"
	internalError         = "XX000"
)

// unavailableClasses are the classes of errors that come from the server's state and not from the statement: connection, resources
// (including a full disk), operator intervention, and system. Damaged data (XX001) is not among them: it affects some rows only, and
// everything else still works.
var unavailableClasses = []string{"08", "53", "57", "58"}

// isConflict reports whether a conflict with another writer caused err, so that an immediate retry is worthwhile.
func isConflict(err error) bool {
	switch codeOf(err) {
	case uniqueViolation, serializationFailure, deadlockDetected:
		return true
	}
	return false
}

// isLostConnection reports whether an established connection was lost, or is unusable because its server hangs.
func isLostConnection(err error) bool {
	var connecting *pgconn.ConnectError
	var server *pgconn.PgError
	switch {
	case errors.Is(err, errHung):
		return true
	case err == nil, errors.As(err, &connecting), isContext(err), errors.Is(err, puddle.ErrClosedPool):
		return false
	case errors.As(err, &server):
		switch server.Code {
		case idleInTransaction, longTransaction, readOnlyTransaction:
			return true
		}
		return strings.HasPrefix(server.Code, "57P")
	default:
		return isNetwork(err)
	}
}

// ClassifyError returns an error of the driver by its meaning for the caller: ctx's own error if ctx has ended, [ErrUnavailable] for an
// error that may pass, every other error unchanged. ctx is the context of the call.
func ClassifyError(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var connecting *pgconn.ConnectError
	code := codeOf(err)
	switch {
	case errors.Is(err, ErrUnavailable):
		return err
	case code != "" && !mayPass(code):
		return err
	case code != "", isContext(err), errors.As(err, &connecting), errors.Is(err, puddle.ErrClosedPool), isNetwork(err):
		return unavailable(err)
	default:
		return err
	}
}

// unavailable returns [ErrUnavailable] for a call whose context has not ended. If err is a context's error, it comes from one of our own
// timeouts. It is hidden, because callers take a context's error for the error of the call's own context.
func unavailable(err error) error {
	if isContext(err) {
		//nolint:errorlint // The error of the bound must not be found by errors.Is.
		return fmt.Errorf("%w: it did not answer in time: %v", ErrUnavailable, err)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

func isContext(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// isNetwork reports whether err comes from a connection and not from the data that was sent over it.
func isNetwork(err error) bool {
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, net.ErrClosed) || errors.Is(err, pgconn.ErrConnClosed) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) || pgconn.SafeToRetry(err)
}

func mayPass(code string) bool {
	switch code {
	case readOnlyTransaction, serializationFailure, deadlockDetected, uniqueViolation, lockNotAvailable, idleInTransaction, longTransaction,
		invalidPassword, invalidAuthorization, noSuchDatabase, internalError:
		return true
	// Privileges that were revoked; tables that are being restored (from a backup of an older version, or still without their indexes);
	// statements that were prepared before these changed; a pooler that left session mode.
	case insufficientPrivilege, undefinedTable, undefinedColumn, noConflictIndex, invalidSchemaName, featureNotSupported,
		invalidStatementName, duplicateStatement:
		return true
	}
	for _, class := range unavailableClasses {
		if strings.HasPrefix(code, class) {
			return true
		}
	}
	return false
}

// IsLockTimeout reports whether a statement timed out while it waited for a lock of another session.
func IsLockTimeout(err error) bool { return codeOf(err) == lockNotAvailable }

// codeOf returns the code of the server's error, or empty if err is not one.
func codeOf(err error) string {
	var server *pgconn.PgError
	if errors.As(err, &server) {
		return server.Code
	}
	return ""
}

// explain returns an error of [Open] as one line for the operator who set the URL. The line names the server and the fix.
func (db *DB) explain(config *pgxpool.Config, schema string, err error) error {
	if errors.Is(err, ErrUnusable) {
		return err
	}
	var refused refusal
	if errors.As(err, &refused) {
		return unusable("%s %v", db.name, refused)
	}
	var connecting *pgconn.ConnectError
	user, database := config.ConnConfig.User, config.ConnConfig.Database
	server := strings.TrimSuffix(db.name, "/"+database)
	switch code := codeOf(err); {
	case code == invalidPassword, code == invalidAuthorization:
		return unusable("%s refuses user %q (%s): fix user and password in the URL, or let the server take them (pg_hba.conf)",
			server, user, message(err))
	case code == noSuchDatabase:
		return unusable("%s has no database %q: make it with createdb, or name another one", server, database)
	case code == insufficientPrivilege:
		return unusable("%s denies user %q a privilege (%s): grant it CONNECT and CREATE on the database, or the missing privilege on schema %s",
			db.name, user, message(err), schema)
	case code == tooManyConnections:
		return unusable("%s has no connection left (%s): raise the limit, or use fewer with pool_max_conns in the URL", server, message(err))
	case code == cannotConnectNow:
		return unusable("%s is starting or stopping: retry when it is up", server)
	case code == lockNotAvailable:
		return unusable("%s can't be set up while another session uses the tables of schema %s: retry when it is done, or end it",
			db.name, schema)
	case !errors.As(err, &connecting) && !isContext(err) && !isNetwork(err):
		return unusable("%s can't be set up (%s): see the server's log", db.name, oneLine(err.Error()))
	case code == undefinedObject, code == invalidParameterValue, code == fixedParameter:
		return unusable("%s refuses a parameter (%s): fix it in the URL", server, message(err))
	case code != "":
		return unusable("%s refuses the connection (%s): see the server's log", db.name, message(err))
	default:
		return unusable("%s can't be reached (%s): start it, or fix the URL", server, reason(err))
	}
}

// message returns the server's text. Here it is about names and never about content, because it comes from connecting or from the schema.
func message(err error) string {
	var server *pgconn.PgError
	if errors.As(err, &server) {
		return oneLine(server.Message)
	}
	return oneLine(err.Error())
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// reason returns the cause of a connection error in a few words.
func reason(err error) string {
	var dns *net.DNSError
	var operation *net.OpError
	switch {
	case errors.As(err, &dns):
		return "its host is not known"
	case errors.Is(err, context.DeadlineExceeded), pgconn.Timeout(err):
		return "it does not answer"
	case errors.As(err, &operation):
		return operation.Err.Error()
	default:
		// The driver's own text has a line for each address that it tried. Each line begins with the address: "address (host): ".
		lines := strings.Split(err.Error(), "\n")
		last := lines[len(lines)-1]
		if _, text, ok := strings.Cut(last, "): "); ok {
			return text
		}
		return strings.TrimSpace(last)
	}
}
