package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/ticketbridge/ticketbridge/gateway/internal/erasures"
	"github.com/ticketbridge/ticketbridge/gateway/internal/forwarder"
	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	"github.com/ticketbridge/ticketbridge/gateway/internal/postgres"
	"github.com/ticketbridge/ticketbridge/gateway/internal/sqlite"
	"github.com/ticketbridge/ticketbridge/gateway/internal/webhook"
	"github.com/ticketbridge/ticketbridge/gen/allthings/delivery/v1/deliveryv1connect"
	"github.com/ticketbridge/ticketbridge/internal/backup"
	"github.com/ticketbridge/ticketbridge/internal/databaseurl"
	"github.com/ticketbridge/ticketbridge/internal/goruntime"
	"github.com/ticketbridge/ticketbridge/internal/httpserver"
	"github.com/ticketbridge/ticketbridge/internal/reload"
	"github.com/ticketbridge/ticketbridge/internal/settings"
	"github.com/ticketbridge/ticketbridge/internal/sqlitedb"
)

// run is the whole program: it serves until ctx ends, or runs a command, and returns the process's exit code.
func run(ctx context.Context, args, environ []string, stdin io.Reader, stdout, stderr io.Writer) int {
	program := settings.Program{Name: "gateway", Description: description, EnvPrefix: "GATEWAY", IgnoredVariables: ignoredVariables,
		Args: args, Environ: environ, Stdout: stdout}
	var line commandLine
	command, err := program.Parse(&line)
	switch {
	case err != nil:
	case command == "explain":
		err = explainFiles(ctx, program, line.Explain, stdin, time.Now())
	case command == "backup":
		err = backup.Run(ctx, program, line.Backup.DatabaseURL, line.Backup.File, sqlite.Options, stderr)
	case command == "restore":
		err = backup.Restore(ctx, program, line.Restore.DatabaseURL, line.Restore.File, sqlite.Options, restoreMeaning)
	default:
		err = serve(ctx, program, line.Serve, stderr)
	}
	return program.Exit(err, stderr)
}

// serve runs the gateway until ctx ends or a server fails.
//
// It stops from the outside in: first no more deliveries are accepted, then the accepted deliveries are stored, then the calls in flight
// end, then the admin server stops, and last the database is closed.
func serve(ctx context.Context, program settings.Program, o options, stderr io.Writer) (err error) {
	hangups := goruntime.KeepServing()
	c, err := o.check(program)
	if err != nil {
		return err
	}
	log := c.New(program, stderr)
	isNew := c.database.SQLitePath != "" && sqlitedb.IsNew(c.database.SQLitePath)
	store, err := openStore(ctx, c.database, log)
	switch {
	case errors.Is(err, context.Canceled):
		return nil
	case err != nil:
		return program.Problem("database-url", "%w", err)
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	in := inbox.New(store)

	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	ready := httpserver.Readiness(ctx, store.Ping)
	admin, mux := httpserver.NewAdmin(ready)
	mux.Handle(deliveryv1connect.NewDeliveryServiceHandler(deliveryv1connect.UnimplementedDeliveryServiceHandler{}))
	adminServer, err := httpserver.Listen(ctx, c.AdminListen, admin)
	if err != nil {
		return errors.Join(program.Problem("admin-listen", "%w", err), in.Stop(context.WithoutCancel(ctx)))
	}
	webhookServer, err := httpserver.Listen(ctx, c.Listen, newWebhookServer(in, c, log))
	if err != nil {
		return errors.Join(program.Problem("listen", "%w", err), adminServer.Close(), in.Stop(context.WithoutCancel(ctx)))
	}

	forwarding, stopForwarding := context.WithCancel(context.WithoutCancel(ctx))
	defer stopForwarding()
	forwarded := make(chan struct{})
	go func() {
		defer close(forwarded)
		client := forwarder.NewClient(c.TicketsvcURL, forwarder.ClientOptions{
			Token:       c.token.Token,
			Authorities: c.authorities,
		})
		var all sync.WaitGroup
		all.Go(func() {
			in.Subscribe(forwarding, func(err error) {
				log.Warn("notifications of other gateways can't be received: their deliveries are forwarded here up to a second later", "error", err)
			})
		})
		options := forwarderOptions(c, log)
		all.Go(func() { forwarder.New(in, client, options).Run(forwarding) })
		erased := erasures.New(store, client, erasures.Options{Now: time.Now, Random: rand.Float64, Log: log})
		all.Go(func() { erased.Run(forwarding) })
		all.Go(func() { forwarder.NewReconciler(in, client, erased, options).Run(forwarding) })
		all.Wait()
	}()
	stopWatching := reload.Start(ctx, c.files, hangups, log)
	defer stopWatching()
	adminServer.LimitConnections(httpserver.MaxAdminConnections)
	adminServer.LogAccepting(log)
	adminServer.Start(fail)
	webhookServer.LimitConnections(c.MaxConnections)
	webhookServer.LogAccepting(log)
	webhookServer.Start(fail)
	var watching sync.WaitGroup
	watching.Go(func() { httpserver.WatchReadiness(ctx, ready, log) })
	defer watching.Wait()
	if c.token.Token() != "" && isCleartext(c.ticketsvcURL) {
		log.Warn("the token and all events cross the network to ticketsvc in cleartext: serve it over TLS, and set --ticketsvc-url to https://")
	}
	if c.TimestampTolerance == 0 {
		log.Warn("the time of signatures is not checked: only de-duplication by event id protects from repeated deliveries",
			"fix", "set --timestamp-tolerance if the sender sends a time")
	}
	if isNew {
		file, _ := filepath.Abs(c.database.SQLitePath)
		log.Info("database is new and empty", "file", file)
	}
	log.Info("gateway is ready", "webhook", "http://"+webhookServer.Addr()+c.WebhookPath, "admin", "http://"+adminServer.Addr(),
		"database", c.database.Name, "ticketsvc", c.ticketsvcURL.Redacted())

	<-ctx.Done()
	log.Info("gateway is stopping")
	// The webhook server gets half of the time, because a slow sender can use up all the time that it gets. Cut-off deliveries were not
	// acknowledged, and cut-off calls are retried, so they are logged but are not an error.
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.ShutdownTimeout)
	defer cancel()
	closing, closed := context.WithTimeout(ending, c.ShutdownTimeout/2)
	defer closed()
	if err := errors.Join(webhookServer.Stop(closing), in.Stop(ending)); err != nil {
		log.Warn("deliveries were cut off before they were stored; Allthings retries them", "error", err)
	}
	stopForwarding()
	select {
	case <-forwarded:
	case <-ending.Done():
		log.Warn("calls of ticketsvc were cut off; their events are retried")
	}
	err = adminServer.Stop(ending)
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		err = errors.Join(cause, err)
	}
	log.Info("gateway has stopped")
	return err
}

// openStore opens the database of the settings, and upgrades it.
func openStore(ctx context.Context, database databaseurl.URL, log *slog.Logger) (inbox.Store, error) {
	defer databaseurl.LogStillOpening(log, "longer with many deliveries")()
	if database.PostgresURL != "" {
		return postgres.Open(ctx, database.PostgresURL, log)
	}
	return sqlite.Open(ctx, database.SQLitePath)
}

// newWebhookServer returns the server of the public address.
func newWebhookServer(in *inbox.Inbox, c config, log *slog.Logger) *http.Server {
	return webhook.NewServer(webhook.NewHandler(in, c.verifier, webhook.Options{
		Path:               c.WebhookPath,
		SignatureHeaders:   c.SignatureHeader,
		TimestampTolerance: c.TimestampTolerance,
		BodyOptions:        c.forWebhook(),
		RejectUnsigned:     c.Unsigned == "reject",
		Now:                time.Now,
		Log:                log,
	}), c.IdleTimeout, log)
}

func forwarderOptions(c config, log *slog.Logger) forwarder.Options {
	return forwarder.Options{
		CallTimeout:     c.ForwardTimeout,
		MaxAttempts:     c.MaxAttempts,
		FutureTolerance: c.FutureTolerance,
		Now:             time.Now,
		Random:          rand.Float64,
		Log:             log,
	}
}
