package sqlite

import "database/sql"

// Writer is the connection that writes.
func (s *Store) Writer() *sql.DB { return s.db.Writer }

// ApplicationID and Migrations are what files are made by.
const ApplicationID = applicationID

var Migrations = migrations
