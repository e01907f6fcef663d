-- The database has an id, by which a token of the feed knows it. Its backups have the same.
CREATE TABLE ticketsvc.identity (
  database_id uuid NOT NULL
);

INSERT INTO ticketsvc.identity (database_id) VALUES (gen_random_uuid());

-- A random number for each event: a database that was restored from a backup, and has recorded the same events again, has other ones.
ALTER TABLE ticketsvc.events ADD COLUMN nonce bigint NOT NULL DEFAULT 0;
