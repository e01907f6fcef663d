package sqlite

import "database/sql"

// Writer is the connection that writes.
func (s *Store) Writer() *sql.DB { return s.db.Writer }
