-- The database has an id, by which a token of the feed knows it. Its backups have the same.
CREATE TABLE identity (
  database_id BLOB NOT NULL
) STRICT;

INSERT INTO identity (database_id) VALUES (randomblob(16));

-- A random number for each event: a database that was restored from a backup, and has recorded the same events again, has other ones.
ALTER TABLE events ADD COLUMN nonce INTEGER NOT NULL DEFAULT 0;
