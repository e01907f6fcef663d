-- Deliveries: small rows that change, apart from the payloads, which are large and never change, so that a change of state rewrites
-- little. Texts are escaped as postgresdb.EscapeText says, and sort by bytes. Times are nanoseconds since the epoch, by the gateways' own
-- clocks.
CREATE TABLE gateway.deliveries (
  id                bigint PRIMARY KEY,        -- from gateway.delivery_ids
  receive_time      bigint NOT NULL,
  next_attempt_time bigint,                    -- only while pending
  forward_time      bigint,                    -- only once forwarded
  -- Only while pending: when anybody may claim it next. That is its next attempt, or the end of the lease of who has claimed it.
  due_time          bigint,
  -- Of the last claim, until it is used; 0 is none.
  lease_token       bigint NOT NULL DEFAULT 0,
  attempts          integer NOT NULL DEFAULT 0,
  deferrals         integer NOT NULL DEFAULT 0,
  state             smallint NOT NULL,         -- inbox.State
  tried             boolean NOT NULL GENERATED ALWAYS AS (attempts + deferrals > 0) STORED,
  key               bytea NOT NULL UNIQUE,     -- inbox.Key: 'e' and the event's id, or 'b' and the body's hash
  body_hash         bytea NOT NULL,            -- SHA-256; outlives the body
  event_id          text COLLATE "C" NOT NULL, -- '' where the body has none
  event_name        text COLLATE "C" NOT NULL,
  ticket_id         text COLLATE "C" NOT NULL,
  reason            text COLLATE "C" NOT NULL DEFAULT ''
)
-- Each delivery is written three times: when it comes, when it is claimed, and when it is settled. The two versions that are dead by then
-- stay in the way until they are vacuumed. By default that would be when they are a fifth of all deliveries ever kept.
WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 10000, autovacuum_analyze_scale_factor = 0.05);

CREATE SEQUENCE gateway.delivery_ids;

-- What is to be forwarded next, those never tried first; settled deliveries take no room in it.
CREATE INDEX deliveries_pending ON gateway.deliveries (tried, due_time, id) WHERE state = 1;

CREATE TABLE gateway.payloads (
  delivery_id         bigint PRIMARY KEY,
  body                bytea NOT NULL,
  signature_timestamp text COLLATE "C" NOT NULL,
  content_type        text COLLATE "C" NOT NULL,
  user_agent          text COLLATE "C" NOT NULL,
  trace_parent        text COLLATE "C" NOT NULL
)
-- Rows up to a page stay as they are: to compress a body of 3 kB takes 20 µs, twice what it takes to insert it. Larger ones are rare.
WITH (toast_tuple_target = 8160);
