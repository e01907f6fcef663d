package sqlitedb

// Probe is what happens each second.
func (db *DB) Probe() { db.probe() }
