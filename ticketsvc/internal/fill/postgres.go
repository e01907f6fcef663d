package fill

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

const (
	postgresIndexes = `SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'ticketsvc' AND tablename = 'tickets'
 AND indexname NOT IN (SELECT conname FROM pg_constraint WHERE conrelid = 'ticketsvc.tickets'::regclass)`
	postgresCounts = `INSERT INTO ticketsvc.ticket_counts (app_id, category_id, status, unassigned, tickets)
 SELECT app_id, category_id, status, assigned_to = '', count(*) FROM ticketsvc.tickets GROUP BY 1, 2, 3, 4`
	// Words of no rules: the service makes them when it opens the database.
	postgresWordless = "UPDATE ticketsvc.words_version SET version = ''"
)

func fillPostgres(ctx context.Context, url string, n int) (err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()

	var filled bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM ticketsvc.tickets)").Scan(&filled); err != nil {
		return err
	}
	if filled {
		return ErrNotEmpty
	}
	rows, err := conn.Query(ctx, postgresIndexes)
	if err != nil {
		return err
	}
	statements := []string{"SET maintenance_work_mem = '256MB'"}
	var drops []string
	var name, definition string
	if _, err := pgx.ForEachRow(rows, []any{&name, &definition}, func() error {
		drops, statements = append(drops, "DROP INDEX ticketsvc."+name), append(statements, definition)
		return nil
	}); err != nil {
		return err
	}
	if err := execute(ctx, conn, drops); err != nil {
		return err
	}
	number := 0
	source := pgx.CopyFromFunc(func() ([]any, error) {
		if number == n {
			return nil, nil
		}
		number++
		return values(number - 1), nil
	})
	if _, err := conn.CopyFrom(ctx, pgx.Identifier{"ticketsvc", "tickets"}, columns, source); err != nil {
		return err
	}
	return execute(ctx, conn, append(statements, postgresCounts, postgresWordless))
}

// settlePostgres does what PostgreSQL would do by itself within the next minutes, while something is measured.
func settlePostgres(ctx context.Context, url string) (err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	return execute(ctx, conn, []string{"VACUUM (ANALYZE)", "CHECKPOINT"})
}

func execute(ctx context.Context, conn *pgx.Conn, statements []string) error {
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}
