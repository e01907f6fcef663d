// Command go keeps a local copy of all tickets in sync with ticketsvc, in an SQLite file, and looks tickets up in it. It is an example for
// services of your own: take what you need.
//
//	go run ./clients/go                  # follows until Ctrl-C
//	go run ./clients/go --get <ticket>   # prints a ticket of the copy as JSON, also while another process follows
//
// A copy has to do five things right, and each is in one place here:
//
//   - The token is kept together with what it stands for, in one transaction ([Copy.Apply]).
//   - After any interruption the stream goes on from the token ([Follower.Follow]), after a pause that grows and that chance has a part in.
//   - A token that can't be served any more means to begin anew, and to drop what does not come again ([Copy.StartAgain]).
//   - What is erased goes for good, from the file too, once nobody reads that ([Copy.Apply]).
//   - A ticket that is not complete yet has empty fields which may have values at Allthings ([Copy.Get] says so).
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

// errUsage marks what the caller has to put right.
var errUsage = errors.New("wrong usage")

// usage comes before the options. It names the command to type: the path of the binary that go run makes is of no use.
const usage = `Keeps a local copy of all tickets in sync with ticketsvc, until Ctrl-C.

Usage: go run ./clients/go [options]

`

func run(ctx context.Context) (err error) {
	address := flag.String("url", "http://127.0.0.1:9090", "where ticketsvc is")
	tokenFile := flag.String("token-file", "", "file with the bearer token to show, of the scope read; read for each stream")
	silence := flag.Int("silence", 60, "after how many `seconds` without any message a stream is given up; a heartbeat comes every 15 s")
	path := flag.String("copy", "data/tickets-go.db", "SQLite file of the copy")
	get := flag.String("get", "", "print this ticket of the copy, and end")
	list := flag.Bool("list", false, "print all tickets of the copy, one a line, and end")
	flag.Usage = func() {
		_, _ = fmt.Fprint(flag.CommandLine.Output(), usage)
		flag.PrintDefaults()
	}
	flag.Parse()
	if *silence <= 0 {
		return fmt.Errorf("%w: --silence is no number of seconds above 0", errUsage)
	}
	if u, err := url.Parse(*address); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("%w: --url %q: give it with http:// or https://, such as http://127.0.0.1:9090", errUsage, *address)
	}

	var looksUp bool
	flag.Visit(func(f *flag.Flag) { looksUp = looksUp || f.Name == "get" })
	if looksUp && *get == "" {
		return fmt.Errorf("%w: --get is empty: give it the id of a ticket", errUsage)
	}

	tickets, err := OpenCopy(ctx, *path)
	if err != nil {
		return fmt.Errorf("opening the copy in %s: %w", *path, err)
	}
	defer func() { err = errors.Join(err, tickets.Close()) }()
	switch {
	case looksUp:
		ticket, err := tickets.Get(ctx, *get)
		if err != nil {
			return err
		}
		if !ticket.GetComplete() {
			fmt.Fprintln(os.Stderr, "not all of this ticket is known yet: fields that are empty here may have values at Allthings")
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

// tokenFrom returns a function that reads a token from a file each time, so that a new one counts at once.
func tokenFrom(path string) func() (string, error) {
	return func() (string, error) {
		content, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		token := strings.TrimSpace(string(content))
		if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return "", fmt.Errorf("%s holds no token: one line of visible ASCII", path)
		}
		return token, nil
	}
}
