-- The secret by which the database recognises what it erased: ticket.ErasureKey. makeErasureKey sets it.
ALTER TABLE identity ADD COLUMN erasure_key BLOB NOT NULL DEFAULT x'';
