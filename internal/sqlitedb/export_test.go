package sqlitedb

// Probe is probe, which runs once a second.
func (db *DB) Probe() { db.probe() }

// Purge is purge, which runs once a second.
func (db *DB) Purge() { db.purge() }
