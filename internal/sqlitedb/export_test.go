package sqlitedb

// Probe and Purge are what happens each second.
func (db *DB) Probe() { db.probe() }

// Purge is as [DB.Probe].
func (db *DB) Purge() { db.purge() }
