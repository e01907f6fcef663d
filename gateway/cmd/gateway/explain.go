package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/ticketbridge/ticketbridge/gateway/internal/explain"
	"github.com/ticketbridge/ticketbridge/internal/settings"
)

// explainOptions are the settings of the command explain.
type explainOptions struct {
	bodySettings
	JSON  bool     `name:"json" noenv:"" help:"Write a JSON object for each body, on a line of its own, instead of tables."`
	Files []string `arg:"" name:"file" help:"File with a body as Allthings posts it; - reads standard input."`
}

// Help returns the text that --help prints about the command.
func (explainOptions) Help() string {
	return `No server runs, and nothing is stored or sent. The signature is taken to be right.

Shown are the answer, the event, where the ticket's id was found, each field and each attribute that ticketsvc gets, and each value that has
another form than Allthings documents. The output holds what the body holds: personal data, too.

Exit status: 0 when every event would be forwarded, 1 when one would be rejected or dead, 2 when a file can't be read.`
}

// errNotForwarded is returned after the reports, which give the reasons.
var errNotForwarded = errors.New("not every event would be forwarded")

// explainFiles writes a report on each body.
func explainFiles(ctx context.Context, program settings.Program, o explainOptions, stdin io.Reader, now time.Time) error {
	var problems []error
	o.check(func(flag, format string, values ...any) {
		problems = append(problems, program.Problem(flag, format, values...))
	})
	options := explain.Options{BodyOptions: o.forWebhook(), FutureTolerance: o.FutureTolerance}
	reports := make([]explain.Report, 0, len(o.Files))
	forwarded := true
	for _, file := range o.Files {
		body, err := readBody(ctx, file, stdin, o.MaxBodyBytes)
		if err != nil {
			problems = append(problems, program.ArgumentProblem("%s can't be read: %w", file, err))
			continue
		}
		report := explain.Body(file, body, now, options)
		forwarded = forwarded && report.Outcome == explain.Forwarded
		reports = append(reports, report)
	}
	if err := errors.Join(problems...); err != nil {
		return err
	}
	write := explain.WriteTables
	if o.JSON {
		write = explain.WriteJSON
	}
	if err := write(program.Stdout, reports); err != nil {
		return fmt.Errorf("writing the output: %w", err)
	}
	if !forwarded {
		return errNotForwarded
	}
	return nil
}

// readBody reads a file, or stdin if its name is -, up to the first byte over the limit. When ctx ends, readBody returns at once. Reading a
// terminal or a pipe can't be ended, so it continues until the process ends.
func readBody(ctx context.Context, file string, stdin io.Reader, limit int64) ([]byte, error) {
	type result struct {
		body []byte
		err  error
	}
	read := make(chan result, 1)
	go func() {
		body, err := readFile(file, stdin, limit)
		read <- result{body, err}
	}()
	select {
	case r := <-read:
		return r.body, r.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func readFile(file string, stdin io.Reader, limit int64) ([]byte, error) {
	if file != "-" {
		opened, err := os.Open(file)
		if err != nil {
			return nil, errors.Unwrap(err) // without the path, which the caller names
		}
		defer func() { _ = opened.Close() }()
		stdin = opened
	}
	return io.ReadAll(io.LimitReader(stdin, limit+1))
}
