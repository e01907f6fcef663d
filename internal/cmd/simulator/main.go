// Command simulator acts as Allthings: it sends generated tickets, or the bodies in files, to a webhook receiver, signed and retried as the
// provider does. See simulator --help.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/ticketbridge/ticketbridge/internal/simulator"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// Exit statuses.
const (
	exitAcknowledged = 0
	exitNot          = 1
	exitUsage        = 2
)

// run runs the program without using global state of the process. It returns the exit status.
func run(ctx context.Context, args []string, lookupEnv func(string) (string, bool), stdout, stderr io.Writer) int {
	s, help, err := parse(args, lookupEnv)
	if help != "" {
		_, _ = io.WriteString(stdout, help)
		return exitAcknowledged
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "simulator: %v\nRun simulator --help to see what can be set.\n", err)
		return exitUsage
	}
	acknowledged, err := s.send(ctx, stdout, stderr)
	switch {
	case errors.Is(err, errUsage):
		_, _ = fmt.Fprintf(stderr, "simulator: %v\n", err)
		return exitUsage
	case err != nil:
		_, _ = fmt.Fprintf(stderr, "simulator: %v\n", err)
		return exitNot
	case !acknowledged:
		return exitNot
	}
	return exitAcknowledged
}

// errUsage marks errors that the caller must fix.
var errUsage = errors.New("wrong usage")

// send delivers the events of the settings, and prints the results. It reports whether all events were acknowledged.
func (s settings) send(ctx context.Context, stdout, stderr io.Writer) (bool, error) {
	files, err := simulator.ReadFiles(s.Files)
	if err != nil {
		return false, fmt.Errorf("%w: %w", errUsage, err)
	}
	seed := rand.Uint64N(1 << 32) //nolint:gosec // It draws generated events, and is no secret.
	if s.Seed != nil {
		seed = *s.Seed
	}
	options := s.options(seed)
	answers := make(map[string]simulator.Answer, len(files))
	if len(files) > 0 {
		options.OnFinished = func(event simulator.Event, answer simulator.Answer) { answers[event.ID] = answer }
	}
	options.OnProgress = func(summary simulator.Summary) {
		_, _ = fmt.Fprintf(stderr, "%4.0fs  %d sent, %d acknowledged, %d given up, %d retries\n",
			summary.Duration.Seconds(), summary.Events, summary.Acknowledged, summary.GivenUp, summary.Retries)
	}
	options.OnFailed = reportOnce(stderr)
	summary, err := simulator.Send(ctx, s.events(files, seed), options)
	if summary.StatusCounts == nil {
		return false, fmt.Errorf("%w: %w", errUsage, err)
	}
	printErr := errors.Join(printAnswers(stdout, files, answers), summary.Print(stdout))
	if len(files) == 0 {
		_, _ = fmt.Fprintf(stdout, "seed %d repeats exactly these events\n", seed)
	}
	return summary.AllAcknowledged(), errors.Join(err, printErr)
}

// reportOnce returns a function that prints a failure and its fix: the first attempt without an answer, and the first 401.
func reportOnce(w io.Writer) func(simulator.Answer) {
	reported := map[int]bool{}
	return func(answer simulator.Answer) {
		if reported[answer.Status] {
			return
		}
		reported[answer.Status] = true
		switch answer.Status {
		case 0:
			_, _ = fmt.Fprintf(w, "simulator: no answer: %v (reported once): check that the receiver runs and that --url is its address\n",
				answer.Err)
		case http.StatusUnauthorized:
			_, _ = fmt.Fprintln(w, "simulator: 401 (reported once): set --secret or --secret-file to the secret of the receiver")
		}
	}
}

// events returns the files, or generated traffic if there are none, in the order in which they are sent.
func (s settings) events(files []simulator.Event, seed uint64) iter.Seq[simulator.Event] {
	events := slices.Values(files)
	if len(files) == 0 {
		events = simulator.Generate(seed, s.Events, simulator.GenerateOptions{})
	}
	if s.Shuffle || s.ShuffleWindow > 0 {
		events = simulator.Shuffle(events, s.ShuffleWindow, seed)
	}
	return simulator.Duplicate(events, s.Duplicates, seed)
}

func (s settings) options(seed uint64) simulator.Options {
	options := simulator.Options{
		URLs: s.URL, Secret: s.Secret, Rate: s.Rate, Burst: s.Burst, Concurrency: s.Concurrency, TryTimeout: s.TryTimeout,
		RetryBase: s.RetryBase, RetryMax: s.RetryMax, GiveUpAfter: s.GiveUpAfter, Seed: seed,
	}
	if len(s.Files) > 0 {
		options.RefusalIsFinal = !s.RetryRefused
		if options.GiveUpAfter == 0 {
			options.GiveUpAfter = 5 * time.Second
		}
	}
	return options
}

// printAnswers writes one line per file: its path, the status, and the message of the answer.
func printAnswers(w io.Writer, files []simulator.Event, answers map[string]simulator.Answer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, file := range files {
		status, text := "no answer", "cut off"
		if answer, ok := answers[file.ID]; ok && answer.Err != nil {
			text = answer.Err.Error()
		} else if ok {
			status, text = strconv.Itoa(answer.Status), message(answer.Body)
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\n", file.ID, status, text)
	}
	if len(files) > 0 {
		_, _ = fmt.Fprintln(table)
	}
	return table.Flush()
}

// message returns the message of an answer: the field message if the answer is JSON, otherwise the first line.
func message(body []byte) string {
	var answer struct{ Message string }
	if err := json.Unmarshal(body, &answer); err == nil {
		return answer.Message
	}
	line, _, _ := bytes.Cut(body, []byte("\n"))
	return string(line)
}
