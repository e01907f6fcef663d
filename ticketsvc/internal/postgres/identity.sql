-- The database has an id, by which a token of the feed knows it. Its backups have the same.
CREATE TABLE ticketsvc.identity (
  database_id uuid NOT NULL
);

INSERT INTO ticketsvc.identity (database_id) VALUES (gen_random_uuid());
