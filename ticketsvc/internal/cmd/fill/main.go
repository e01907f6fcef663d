// Command fill makes a database with very many tickets, for the benchmark to read from. See fill --help.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/ticketbridge/ticketbridge/internal/databaseurl"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/fill"
)

const description = `Makes a new database for ticketsvc, with very many tickets, faster than recording their events would: the log stays
empty. It is for benchmarks of reading. The same number of tickets always gives the same ones.`

type commandLine struct {
	DatabaseURL string `name:"database-url" env:"FILL_DATABASE_URL" required:"" placeholder:"URL" help:"The database, as ticketsvc takes it: sqlite:<path>, or postgres://user@host:5432/database. A password is best in the environment."`
	Tickets     int    `default:"1000000" help:"How many tickets."`
	Sample      int    `default:"0" help:"Of how many tickets to print the ids, one a line, in any order; some may come twice."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// Exit statuses.
const (
	exitFilled = 0
	exitFailed = 1
	exitUsage  = 2
)

// run is the program, without what is global to its process. It returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var line commandLine
	helped := false
	parser, err := kong.New(&line, kong.Name("fill"), kong.Description(description), kong.Writers(stdout, stdout),
		kong.Exit(func(int) { helped = true }))
	if err == nil {
		_, err = parser.Parse(args)
	}
	if helped {
		return exitFilled
	}
	var database databaseurl.URL
	if err == nil {
		if database, err = databaseurl.Parse(line.DatabaseURL); err != nil {
			err = fmt.Errorf("--database-url / FILL_DATABASE_URL: %w", err)
		}
	}
	if err == nil && (line.Tickets < 1 || line.Tickets > 1<<24 || line.Sample < 0) {
		err = fmt.Errorf("--tickets must be from 1 to %d, and --sample not negative", 1<<24)
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "fill: %v\nRun fill --help to see what can be set.\n", err)
		return exitUsage
	}
	if err := fill.Database(ctx, database, line.Tickets); err != nil {
		_, _ = fmt.Fprintf(stderr, "fill: %s: %v\n", database.Name, err)
		return exitFailed
	}
	out := bufio.NewWriter(stdout)
	random := rand.New(rand.NewPCG(1, 1))
	for range line.Sample {
		_, _ = fmt.Fprintln(out, fill.ID(random.IntN(line.Tickets)))
	}
	if err := out.Flush(); err != nil {
		_, _ = fmt.Fprintf(stderr, "fill: %v\n", err)
		return exitFailed
	}
	return exitFilled
}
