-- Which tickets ticketsvc erased: their ids alone, for ever, so that an erasure that ticketsvc's database loses is repeated. The ids are
-- escaped as those of deliveries are.
CREATE TABLE gateway.erasures (
  ticket_id  text COLLATE "C" PRIMARY KEY,
  receipt    bytea NOT NULL,  -- ticketsvc's proof of the erasure
  generation bigint NOT NULL  -- inbox.ErasureCursor: the last one in which ticketsvc listed it
);

-- One row: how far they are read.
CREATE TABLE gateway.erasure_cursor (
  generation bigint NOT NULL,
  position   text COLLATE "C" NOT NULL
);

INSERT INTO gateway.erasure_cursor (generation, position) VALUES (1, '');
