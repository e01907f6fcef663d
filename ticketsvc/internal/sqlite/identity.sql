-- The id by which a token of the feed recognises the database. Backups of the database have the same id.
CREATE TABLE identity (
  database_id BLOB NOT NULL
) STRICT;

INSERT INTO identity (database_id) VALUES (randomblob(16));
