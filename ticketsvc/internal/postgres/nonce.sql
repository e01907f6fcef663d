-- A random number for each event. If a database is restored from a backup and records the same events again, their numbers differ. A
-- database that was made between two releases already has the column.
ALTER TABLE ticketsvc.events ADD COLUMN IF NOT EXISTS nonce bigint NOT NULL DEFAULT 0;
