// Command go keeps a local copy of all tickets in sync with ticketsvc, in an SQLite file, and reads tickets from the copy. It is an example
// for your own services: copy the parts that you need.
//
//	go run ./clients/go                  # follows until Ctrl-C
//	go run ./clients/go --get <ticket>   # prints a ticket of the copy as JSON, also while another process follows
//
// A copy has five rules. Each rule is in one place here:
//
//   - The content of a message and its token are stored in one transaction ([Copy.Apply]).
//   - After an interruption the stream resumes with the last token, after a growing, random delay ([Follower.Follow]).
//   - If ticketsvc can't resume from the token, the copy starts again without a token, and drops the tickets that are not in the new
//     snapshot ([Copy.StartAgain]).
//   - Erased tickets are removed from the file permanently ([Copy.Apply]).
//   - Empty fields of an incomplete ticket may have values at Allthings: the program prints a note with such a ticket.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		if errors.Is(err, errUsage) {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

// errUsage marks errors that the caller must fix.
var errUsage = errors.New("wrong usage")

// usage is the help before the options. It has the command to type, because go run puts the binary into a temporary folder.
const usage = `Keeps a local copy of all tickets in sync with ticketsvc, until Ctrl-C.

Usage: go run ./clients/go [options]

`

func run(ctx context.Context) (err error) {
	address := flag.String("url", "http://127.0.0.1:9090", "URL of ticketsvc")
	tokenFile := flag.String("token-file", "", "file with the bearer token to send, of the scope read; read for each stream")
	silence := flag.Int("silence", 60, "end a stream after that many `seconds` without a message; a heartbeat comes every 15 s")
	path := flag.String("copy", "data/tickets-go.db", "SQLite file of the copy")
	get := flag.String("get", "", "print this ticket of the copy and exit")
	list := flag.Bool("list", false, "print all tickets of the copy, one per line, and exit")
	flag.Usage = func() {
		_, _ = fmt.Fprint(flag.CommandLine.Output(), usage)
		flag.PrintDefaults()
	}
	flag.Parse()
	if *silence <= 0 {
		return fmt.Errorf("%w: --silence is not a number of seconds above 0", errUsage)
	}
	if u, err := url.Parse(*address); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("%w: --url %q is not a URL with http:// or https://, such as http://127.0.0.1:9090", errUsage, *address)
	}

	var hasGet bool
	flag.Visit(func(f *flag.Flag) { hasGet = hasGet || f.Name == "get" })
	if hasGet && *get == "" {
		return fmt.Errorf("%w: --get is empty: set it to the id of a ticket", errUsage)
	}

	tickets, err := OpenCopy(ctx, *path)
	if err != nil {
		return fmt.Errorf("opening the copy in %s: %w", *path, err)
	}
	defer func() { err = errors.Join(err, tickets.Close()) }()
	switch {
	case hasGet:
		ticket, err := tickets.Get(ctx, *get)
		if err != nil {
			return err
		}
		if !ticket.GetComplete() {
			fmt.Fprintln(os.Stderr, "the ticket is incomplete: empty fields may have values at Allthings")
		}
		fmt.Println(protojson.Format(ticket))
		return nil
	case *list:
		for ticket, err := range tickets.All(ctx) {
			if err != nil {
				return err
			}
			fmt.Println(protojson.MarshalOptions{}.Format(ticket))
		}
		return nil
	default:
		follower := Follower{Client: NewClient(*address), Silence: time.Duration(*silence) * time.Second, Copy: tickets, Log: slog.Default()}
		if *tokenFile != "" {
			follower.Token = tokenFrom(*tokenFile)
		}
		return follower.Follow(ctx)
	}
}

// tokenFrom returns a function that reads the token from a file. It reads the file at each call, so the token can be replaced.
func tokenFrom(path string) func() (string, error) {
	return func() (string, error) {
		content, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		token := strings.TrimSpace(string(content))
		if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return "", fmt.Errorf("%s has no token: write one line of visible ASCII into it", path)
		}
		return token, nil
	}
}
