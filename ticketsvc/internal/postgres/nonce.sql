-- A random number for each event: a database that was restored from a backup, and has recorded the same events again, has other ones.
-- Databases that were made between two releases have it.
ALTER TABLE ticketsvc.events ADD COLUMN IF NOT EXISTS nonce bigint NOT NULL DEFAULT 0;
