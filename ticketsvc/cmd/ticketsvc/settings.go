package main

import (
	"errors"
	"time"

	"github.com/ticketbridge/ticketbridge/internal/databaseurl"
	"github.com/ticketbridge/ticketbridge/internal/httpserver"
	"github.com/ticketbridge/ticketbridge/internal/settings"
)

const description = `Keeps tickets and the events that make them, and serves both to other services over Connect, gRPC and gRPC-Web.

Without any setting it serves on this machine and keeps its data in an SQLite file in the folder data.

Each setting is a flag or an environment variable; the flag goes first.`

// options are the service's settings as they are given.
type options struct {
	Listen          string        `default:"127.0.0.1:9090" placeholder:"HOST:PORT" help:"Where the RPCs are served, over HTTP/1.1 and cleartext HTTP/2, with health and reflection. Loopback only."`
	AdminListen     string        `default:"127.0.0.1:9091" placeholder:"HOST:PORT" help:"Admin address: /livez, /readyz, profiles. Loopback only."`
	DatabaseURL     string        `name:"database-url" default:"sqlite:data/ticketsvc.db" placeholder:"URL" help:"Where tickets are kept: sqlite:<path>, or postgres://user@host:5432/database, which any number of replicas share. The password is best in PGPASSWORD or PGPASSFILE."`
	ShutdownTimeout time.Duration `default:"10s" placeholder:"DURATION" help:"How long stopping may take, at most 24h."`
	settings.Log
}

// config is the service's settings, checked and ready for use.
type config struct {
	options
	database databaseurl.URL
}

// parseSettings reads and checks the settings. Its error names every setting that is wrong, one a line.
func parseSettings(program settings.Program) (config, error) {
	var c config
	if err := program.Parse(&c.options); err != nil {
		return config{}, err
	}
	var problems []error
	problem := func(flag, format string, values ...any) {
		problems = append(problems, program.Problem(flag, format, values...))
	}
	if err := httpserver.CheckLoopback(c.Listen, "127.0.0.1:9090"); err != nil {
		problem("listen", "%w", err)
	}
	if err := httpserver.CheckLoopback(c.AdminListen, "127.0.0.1:9091"); err != nil {
		problem("admin-listen", "%w", err)
	}
	var err error
	if c.database, err = databaseurl.Parse(c.DatabaseURL); err != nil {
		problem("database-url", "%w", err)
	}
	if c.ShutdownTimeout <= 0 || c.ShutdownTimeout > 24*time.Hour {
		problem("shutdown-timeout", "%v is out of range: use more than 0 and at most 24h", c.ShutdownTimeout)
	}
	return c, errors.Join(problems...)
}
