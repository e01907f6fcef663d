// Package databaseurl finds out the engine of a database from its URL, and logs that a database is still being opened. Both services use it
// for the same forms of URLs.
package databaseurl

import (
	"errors"

	"github.com/ticketbridge/ticketbridge/internal/postgresdb"
	"github.com/ticketbridge/ticketbridge/internal/sqlitedb"
)

// errUnknown does not repeat the URL, which can hold a password.
var errUnknown = errors.New("is not of the form sqlite:<path>, such as sqlite:data/service.db, or postgres://user@host:5432/database")

// URL is a database's URL, checked for its form.
type URL struct {
	// SQLitePath is the path of the file. Empty for PostgreSQL.
	SQLitePath string
	// PostgresURL is the URL as it was given. It can hold a password. Empty for SQLite.
	PostgresURL string
	// Name is the database's name for people and logs. It holds no password.
	Name string
}

// Parse parses a URL. The error is for the operator who set it, and does not repeat the URL.
func Parse(text string) (URL, error) {
	if postgresdb.IsURL(text) {
		name, err := postgresdb.Name(text)
		if err != nil {
			return URL{}, err
		}
		return URL{PostgresURL: text, Name: name}, nil
	}
	path, ok := sqlitedb.PathFromURL(text)
	if !ok {
		return URL{}, errUnknown
	}
	return URL{SQLitePath: path, Name: path}, nil
}
