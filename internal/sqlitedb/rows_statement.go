package sqlitedb

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// sizes are the numbers of rows for which a [RowsStatement] is prepared. From 16 on an insert's cost per row hardly decreases.
var sizes = [...]int{16, 4, 1}

// RowsStatement is a statement over any number of rows, such as INSERT … VALUES (?,?),(?,?) or … WHERE id IN (?,?,?). It is prepared once,
// for a few numbers of rows, and executed in several pieces if needed.
type RowsStatement struct {
	prepared [len(sizes)]*sql.Stmt
}

// PrepareRows prepares a statement on pool, which is [DB.Writer] or [DB.Reader]. The statement is prefix, then the placeholders of each row
// with commas between, then suffix. placeholders are those of one row, such as (?,?). The statement is closed with the pool.
//
// PrepareRows must not be called within a transaction of the writer: it would wait for the one connection, which the transaction has.
func PrepareRows(ctx context.Context, pool *sql.DB, prefix, placeholders, suffix string) (*RowsStatement, error) {
	s := &RowsStatement{}
	for i, size := range sizes {
		stmt, err := pool.PrepareContext(ctx, prefix+strings.TrimSuffix(strings.Repeat(placeholders+",", size), ",")+suffix)
		if err != nil {
			return nil, fmt.Errorf("preparing %s…: %w", prefix, err)
		}
		s.prepared[i] = stmt
	}
	return s, nil
}

// Exec executes the statement over all rows within tx, and returns the number of changed rows of the table. fixed are the arguments that
// come first in each piece. rows holds the arguments of the rows, perRow for each.
func (s *RowsStatement) Exec(ctx context.Context, tx *sql.Tx, fixed []any, rows []any, perRow int) (changed int64, err error) {
	err = s.each(fixed, rows, perRow, func(stmt *sql.Stmt, args []any) error {
		result, err := tx.StmtContext(ctx, stmt).ExecContext(ctx, args...)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		changed += n
		return err
	})
	return changed, err
}

// Query executes the statement over all rows, and calls scan for each row of the result. A nil tx means outside a transaction.
func (s *RowsStatement) Query(ctx context.Context, tx *sql.Tx, rows []any, perRow int, scan func(*sql.Rows) error) error {
	return s.each(nil, rows, perRow, func(stmt *sql.Stmt, args []any) (err error) {
		if tx != nil {
			stmt = tx.StmtContext(ctx, stmt)
		}
		answers, err := stmt.QueryContext(ctx, args...)
		if err != nil {
			return err
		}
		defer func() { _ = answers.Close() }()
		for answers.Next() {
			if err := scan(answers); err != nil {
				return err
			}
		}
		return answers.Err()
	})
}

// each calls f with the statement and the arguments of each piece.
func (s *RowsStatement) each(fixed, rows []any, perRow int, f func(*sql.Stmt, []any) error) error {
	var args []any
	for i, size := range sizes {
		for len(rows) >= size*perRow {
			piece := rows[:size*perRow]
			rows = rows[len(piece):]
			if len(fixed) > 0 {
				args = append(append(args[:0], fixed...), piece...)
				piece = args
			}
			if err := f(s.prepared[i], piece); err != nil {
				return err
			}
		}
	}
	return nil
}
