// Gateway receives Allthings' webhooks, stores each signed delivery durably, answers at once, and forwards the events to ticketsvc.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/ticketbridge/ticketbridge/internal/goruntime"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	goruntime.Tune(os.LookupEnv)
	code := run(ctx, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
