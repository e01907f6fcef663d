package sqlite

import "database/sql"

// ApplicationID and Migrations are what files are made by.
const ApplicationID = applicationID

const ReadErasures = readErasures

var Migrations = migrations

// GroupStats is the statement for filters that select groups.
const GroupStats = groupStats

// SetMaxSorted changes how many tickets with some words are read to put them in order.
func (s *Store) SetMaxSorted(tickets int) { s.maxSorted = tickets }

// Writer is the connection that writes.
func (s *Store) Writer() *sql.DB { return s.db.Writer }

// Reader has the connections of reads that may take long.
func (s *Store) Reader() *sql.DB { return s.db.Reader }

// Readers is how many connections that are.
const Readers = readers
