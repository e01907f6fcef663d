package main

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"sync"

	"github.com/ticketbridge/ticketbridge/internal/backup"
	"github.com/ticketbridge/ticketbridge/internal/goruntime"
	"github.com/ticketbridge/ticketbridge/internal/httpserver"
	"github.com/ticketbridge/ticketbridge/internal/reload"
	"github.com/ticketbridge/ticketbridge/internal/settings"
	"github.com/ticketbridge/ticketbridge/internal/sqlitedb"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/sqlite"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// run is the whole service. It serves until ctx ends, and returns the exit code of the process.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	program := settings.Program{Name: "ticketsvc", Description: description, EnvPrefix: "TICKETSVC", Args: args, Environ: environ,
		Stdout: stdout}
	var line commandLine
	command, err := program.Parse(&line)
	switch {
	case err != nil:
	case command == "backup":
		err = backup.Run(ctx, program, line.Backup.DatabaseURL, line.Backup.File, sqlite.Options, stderr)
	case command == "restore":
		err = backup.Restore(ctx, program, line.Restore.DatabaseURL, line.Restore.File, sqlite.Options, restoreMeaning)
	case command == "erasures export":
		err = exportErasures(ctx, program, line.Erasures.Export, stderr)
	case command == "erasures import":
		err = importErasures(ctx, program, line.Erasures.Import, stderr)
	default:
		err = serve(ctx, program, line.Serve, stderr)
	}
	return program.Exit(err, stderr)
}

// serve runs the service until ctx ends or a server fails.
//
// It stops in this order: first no more calls are accepted and the running calls end, then the events that were accepted are recorded, and
// last the database is closed. The admin address stays open until just before the database is closed, to report that the service is
// stopping.
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

	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	ready := httpserver.Readiness(ctx, func(ctx context.Context) error {
		err := store.Ping(ctx)
		if errors.Is(err, ticket.ErrReadOnly) {
			return httpserver.ErrReadOnly
		}
		return err
	})
	service := rpc.New(store, ready, log)
	admin, _ := httpserver.NewAdmin(ready)
	adminServer, err := httpserver.Listen(ctx, c.AdminListen, admin)
	if err != nil {
		return errors.Join(program.Problem("admin-listen", "%w", err), service.Close(context.WithoutCancel(ctx)))
	}
	server, err := httpserver.Listen(ctx, c.Listen, service.NewServer(c.security, log))
	if err != nil {
		return errors.Join(program.Problem("listen", "%w", err), adminServer.Close(), service.Close(context.WithoutCancel(ctx)))
	}
	stopWatching := reload.Start(ctx, c.files, hangups, log)
	defer stopWatching()
	adminServer.LimitConnections(httpserver.MaxAdminConnections)
	adminServer.LogAccepting(log)
	adminServer.Start(fail)
	server.LimitConnections(c.MaxConnections)
	server.LogAccepting(log)
	server.Start(fail)
	var watching sync.WaitGroup
	watching.Go(func() { httpserver.WatchReadiness(ctx, ready, log) })
	defer watching.Wait()
	scheme := "http://"
	if c.security.TLS != nil {
		scheme = "https://"
	} else if c.security.Tokens != nil && !httpserver.IsLoopback(server.Addr()) {
		log.Warn("tokens and tickets cross the network in cleartext: set --tls-cert-file and --tls-key-file," +
			" unless a proxy in front terminates TLS")
	}
	if isNew {
		file, _ := filepath.Abs(c.database.SQLitePath)
		log.Info("database is new and empty", "file", file)
	}
	log.Info("ticketsvc is ready", "rpc", scheme+server.Addr(), "admin", "http://"+adminServer.Addr(), "database", c.database.Name)

	<-ctx.Done()
	log.Info("ticketsvc is stopping")
	// The server gets half of the time, because a slow caller can use up all of the server's time. Calls that are cut off were not
	// acknowledged, so they are logged, but are not a failure.
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.ShutdownTimeout)
	defer cancel()
	serving, served := context.WithTimeout(ending, c.ShutdownTimeout/2)
	defer served()
	if err := server.Stop(serving); err != nil {
		log.Warn("calls were cut off; the gateway retries its own, and watchers resume", "error", err)
	}
	if err := service.Close(ending); err != nil {
		log.Warn("events may not be recorded; the gateway forwards them again", "error", err)
	}
	err = adminServer.Stop(ending)
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		err = errors.Join(cause, err)
	}
	log.Info("ticketsvc has stopped")
	return err
}
