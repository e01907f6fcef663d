-- Which tickets ticketsvc erased: their ids alone, for ever, so that an erasure that ticketsvc's database loses is repeated.
CREATE TABLE erasures (
  ticket_id TEXT PRIMARY KEY,
  receipt BLOB NOT NULL,              -- ticketsvc's proof of the erasure
  generation INTEGER NOT NULL         -- inbox.ErasureCursor: the last one in which ticketsvc listed it
) STRICT, WITHOUT ROWID;

-- One row: how far they are read.
CREATE TABLE erasure_cursor (
  generation INTEGER NOT NULL,
  position TEXT NOT NULL
) STRICT;

INSERT INTO erasure_cursor (generation, position) VALUES (1, '');
