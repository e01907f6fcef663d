package sqlite

import "database/sql"

// ApplicationID and Migrations are what files are created with.
const ApplicationID = applicationID

const ReadErasures = readErasures

var Migrations = migrations

// GroupStats is the statement for filters that select groups.
const GroupStats = groupStats

// SetMaxSorted changes the maximum number of tickets with some words that are read and sorted.
func (s *Store) SetMaxSorted(tickets int) { s.maxSorted = tickets }

// Writer returns the connection that writes.
func (s *Store) Writer() *sql.DB { return s.db.Writer }

// Reader returns the connections of reads that may take long.
func (s *Store) Reader() *sql.DB { return s.db.Reader }

// Readers is the number of these connections.
const Readers = readers
