// Ticketsvc stores tickets and the events that make them, and serves both to other services over Connect, gRPC and gRPC-Web.
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
	code := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
