// Gateway receives Allthings' webhooks, keeps each signed delivery durably, answers at once, and forwards the events to ticketsvc.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The live heap is a few megabytes, so by default the collector would run many times a second. docs/decisions.md has the figures.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	os.Exit(run(ctx, os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr))
}
