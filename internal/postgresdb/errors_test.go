package postgresdb_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"

	"github.com/ticketbridge/ticketbridge/internal/postgresdb"
)

func TestClassifyError(t *testing.T) {
	t.Parallel()
	passing := map[string]error{
		"of the network":           &net.OpError{Op: "read", Err: syscall.ECONNRESET},
		"of the network, in time":  &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded},
		"unknown host":             &net.DNSError{},
		"end of the connection":    io.ErrUnexpectedEOF,
		"end":                      io.EOF,
		"closed connection":        fmt.Errorf("writing: %w", net.ErrClosed),
		"the driver's":             fmt.Errorf("query: %w", pgconn.ErrConnClosed),
		"closed pool":              puddle.ErrClosedPool,
		"a bound of our own":       context.DeadlineExceeded,
		"a context that we ended":  context.Canceled,
		"in several words":         fmt.Errorf("a: %w", fmt.Errorf("b: %w", context.DeadlineExceeded)),
		"what is translated":       fmt.Errorf("%w: again", postgresdb.ErrUnavailable),
		"one host late, one stops": errors.Join(context.DeadlineExceeded, &pgconn.PgError{Code: "57P03"}),
	}
	for _, code := range []string{"08000", "08006", "23505", "25006", "25P03", "25P04", "28000", "28P01", "3D000", "40001", "40P01", "53000",
		"53100", "53200", "53300", "55P03", "57000", "57014", "57P01", "57P02", "57P03", "57P04", "57P05", "58000", "58030", "XX000",
		"0A000", "26000", "3F000", "42501", "42703", "42P01", "42P05", "42P10"} {
		passing[code] = fmt.Errorf("query: %w", &pgconn.PgError{Code: code})
	}
	for name, err := range passing {
		got := postgresdb.ClassifyError(t.Context(), err)
		if !errors.Is(got, postgresdb.ErrUnavailable) {
			t.Errorf("%s: %v, want ErrUnavailable", name, got)
		}
		// Callers take these errors for their own.
		if errors.Is(got, context.DeadlineExceeded) || errors.Is(got, context.Canceled) {
			t.Errorf("%s: %v is also a context's error", name, got)
		}
	}

	staying := map[string]error{"nothing": nil, "no rows": pgx.ErrNoRows, "the caller's own": errors.New("mine")}
	for _, code := range []string{"22021", "22P02", "23502", "23514", "25P01", "25P02", "42601", "54000", "P0001", "XX001", "XX002"} {
		staying[code] = &pgconn.PgError{Code: code}
	}
	for name, err := range staying {
		if got := postgresdb.ClassifyError(t.Context(), err); got != err { //nolint:errorlint // A wrapped error is not unchanged.
			t.Errorf("%s: %v, want it unchanged", name, got)
		}
	}

	errCause := errors.New("cause")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	caused, cancelCause := context.WithCancelCause(t.Context())
	cancelCause(errCause)
	for _, err := range []error{&pgconn.PgError{Code: "57014"}, io.EOF, context.DeadlineExceeded, postgresdb.ErrUnavailable} {
		if got := postgresdb.ClassifyError(ended, err); !errors.Is(got, context.Canceled) || errors.Is(got, postgresdb.ErrUnavailable) {
			t.Errorf("%v with an ended context: %v, want context.Canceled", err, got)
		}
		if got := postgresdb.ClassifyError(caused, err); !errors.Is(got, errCause) {
			t.Errorf("%v with a context that was ended for a reason: %v, want the reason", err, got)
		}
	}
	if got := postgresdb.ClassifyError(ended, nil); got != nil {
		t.Errorf("success with an ended context: %v", got)
	}
}
