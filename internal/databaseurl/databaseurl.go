// Package databaseurl tells by a database's URL which engine it has. Both services take the same forms.
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
	// SQLitePath is the file; empty for PostgreSQL.
	SQLitePath string
	// PostgresURL is the URL as it was given; empty for SQLite. It can hold a password.
	PostgresURL string
	// Name is the database's name for people and logs. It holds no password.
	Name string
}

// Parse returns the URL. The error is for whoever set it, and does not repeat it.
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
