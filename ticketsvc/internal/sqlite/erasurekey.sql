-- The database has a secret, by which it knows again what it erased: ticket.ErasureKey. erasures.go makes it.
ALTER TABLE identity ADD COLUMN erasure_key BLOB NOT NULL DEFAULT x'';
