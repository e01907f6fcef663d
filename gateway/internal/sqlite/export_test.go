package sqlite

import "database/sql"

// Writer returns the connection that writes.
func (s *Store) Writer() *sql.DB { return s.db.Writer }

// ApplicationID and Migrations are those of the files.
const ApplicationID = applicationID

var Migrations = migrations
