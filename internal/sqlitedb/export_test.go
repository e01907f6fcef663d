package sqlitedb

// Probe does what is done once a second after a write has failed.
func (db *DB) Probe() { db.probe() }

// Purge does what is done once a second.
func (db *DB) Purge() { db.purge() }
