package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ticketbridge/ticketbridge/internal/databaseurl"
	"github.com/ticketbridge/ticketbridge/internal/settings"
	"github.com/ticketbridge/ticketbridge/internal/sqlitedb"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/postgres"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/sqlite"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

const (
	// importBatch is the number of tickets that an import erases at once. SQLite merges the index of words once for all of them.
	importBatch = 1000
	// progressInterval is the time between two lines about the progress of an import.
	progressInterval = 10 * time.Second
	// exportPage is the number of erasures that an export reads from PostgreSQL at once.
	exportPage = 1000
)

// exportErasures writes the ids of all erased tickets to a new file, or prints them.
func exportErasures(ctx context.Context, program settings.Program, o exportOptions, stderr io.Writer) error {
	database, err := databaseurl.Parse(o.DatabaseURL)
	if err != nil {
		return program.Problem("database-url", "%w", err)
	}
	if o.File == "" || o.File == "-" {
		_, err := writeErasures(ctx, program, database, program.Stdout, stderr)
		return err
	}
	file, err := os.OpenFile(o.File, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%s exists already: name a new file", o.File)
	case err != nil:
		return fmt.Errorf("the list can't be written (%w): name a file in a folder that can be written", err)
	}
	count, err := writeErasures(ctx, program, database, file, stderr)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = syncFolder(filepath.Dir(o.File))
	}
	if err != nil {
		return errors.Join(err, os.Remove(o.File))
	}
	_, err = fmt.Fprintf(program.Stdout, "the erased tickets of %s are exported to %s: %d\n", database.Name, o.File, count)
	return err
}

// syncFolder flushes the names of a folder's files to disk.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// writeErasures writes the ids of all erased tickets of a database, and returns their number.
func writeErasures(ctx context.Context, program settings.Program, database databaseurl.URL, to io.Writer, stderr io.Writer,
) (count int, err error) {
	w := bufio.NewWriter(to)
	write := func(ticketID string) error {
		count++
		_, err := w.WriteString(erasureLine(ticketID) + "\n")
		return err
	}
	if database.PostgresURL == "" {
		err = sqlite.ExportErasures(ctx, database.SQLitePath, write)
	} else {
		err = exportPostgres(ctx, database.PostgresURL, settings.Log{}.New(program, stderr), write)
	}
	switch {
	case ctx.Err() != nil:
		return 0, errors.New("the export was interrupted: start it again")
	case err != nil:
		return 0, err
	}
	return count, w.Flush()
}

func exportPostgres(ctx context.Context, url string, log *slog.Logger, write func(ticketID string) error) (err error) {
	store, err := postgres.Open(ctx, url, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	for after := (ticket.LogPosition{}); ; {
		page, err := store.ListErasures(ctx, after, exportPage)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, e := range page {
			if err := write(e.TicketID); err != nil {
				return err
			}
		}
		after = page[len(page)-1].Position
	}
}

// importErasures erases the tickets of a list.
func importErasures(ctx context.Context, program settings.Program, o importOptions, stderr io.Writer) (err error) {
	database, err := databaseurl.Parse(o.DatabaseURL)
	if err != nil {
		return program.Problem("database-url", "%w", err)
	}
	// All of the list is read first: a list with an error erases nothing.
	content, err := os.ReadFile(o.File)
	if err != nil {
		return fmt.Errorf("the list can't be read (%w): name the file with the list", err)
	}
	ids, err := parseErasures(string(content))
	if err != nil {
		return fmt.Errorf("%s, %w", o.File, err)
	}
	if database.SQLitePath != "" && sqlitedb.IsNew(database.SQLitePath) {
		return fmt.Errorf("there is no database %s: name the file that ticketsvc has", database.SQLitePath)
	}
	store, err := openStore(ctx, database, settings.Log{}.New(program, stderr))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	reported := time.Now()
	for done := 0; done < len(ids); {
		batch := ids[done:min(done+importBatch, len(ids))]
		if _, err := store.Erase(ctx, batch...); err != nil {
			return fmt.Errorf("%d of %d tickets are erased, and then it failed: start it again (%w)", done, len(ids), err)
		}
		done += len(batch)
		if now := time.Now(); now.Sub(reported) >= progressInterval {
			reported = now
			_, _ = fmt.Fprintf(stderr, "%d of %d tickets are erased\n", done, len(ids))
		}
	}
	_, err = fmt.Fprintf(program.Stdout, "the tickets of %s are erased in %s: %d\n", o.File, database.Name, len(ids))
	return err
}

// erasureLine returns the line of a list for a ticket: its id, or a JSON string if the line would not be parsed as that id.
func erasureLine(ticketID string) string {
	isPlain := !strings.HasPrefix(ticketID, `"`) && strings.TrimSpace(ticketID) == ticketID &&
		!strings.ContainsFunc(ticketID, func(r rune) bool { return !unicode.IsPrint(r) })
	if isPlain {
		return ticketID
	}
	quoted, _ := json.Marshal(ticketID) // A string can always be marshalled.
	return string(quoted)
}

// parseErasures returns the ids of a list. The error has the number of the wrong line, and the reason.
func parseErasures(list string) (ticketIDs []string, err error) {
	list = strings.TrimPrefix(list, "\ufeff") // Some editors begin a file with it.
	number := 0
	for line := range strings.Lines(list) {
		number++
		id := strings.TrimSpace(line)
		if id == "" {
			continue
		}
		if strings.HasPrefix(id, `"`) && json.Unmarshal([]byte(id), &id) != nil {
			return nil, fmt.Errorf("line %d begins with a quote and is not a JSON string: correct it; nothing is erased", number)
		}
		if id == "" || len(id) > ticket.MaxIDBytes || !utf8.ValidString(id) {
			return nil, fmt.Errorf("line %d is not the id of a ticket, of 1 to %d bytes in UTF-8: correct it; nothing is erased", number,
				ticket.MaxIDBytes)
		}
		ticketIDs = append(ticketIDs, id)
	}
	return ticketIDs, nil
}
