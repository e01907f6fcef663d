-- The database has an id, by which a token of the feed knows it. Its backups have the same.
CREATE TABLE identity (
  database_id BLOB NOT NULL
) STRICT;

INSERT INTO identity (database_id) VALUES (randomblob(16));
