-- The id by which a token of the feed recognises the database. Backups of the database have the same id.
CREATE TABLE ticketsvc.identity (
  database_id uuid NOT NULL
);

INSERT INTO ticketsvc.identity (database_id) VALUES (gen_random_uuid());
