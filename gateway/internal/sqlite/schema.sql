-- Deliveries: small rows that change, apart from the payloads, which are large and never change, so that a change of state rewrites
-- little. Times are nanoseconds since the epoch, by the gateway's own clock.
CREATE TABLE deliveries (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  key BLOB NOT NULL UNIQUE,           -- inbox.Key: 'e' and the event's id, or 'b' and the body's hash
  state INTEGER NOT NULL,             -- inbox.State
  receive_time INTEGER NOT NULL,
  next_attempt_time INTEGER,          -- only while pending
  forward_time INTEGER,               -- only once forwarded
  attempts INTEGER NOT NULL DEFAULT 0,
  deferrals INTEGER NOT NULL DEFAULT 0,
  event_id TEXT NOT NULL,             -- '' where the body has none
  event_name TEXT NOT NULL,
  ticket_id TEXT NOT NULL,
  reason TEXT NOT NULL DEFAULT '',
  body_hash BLOB NOT NULL             -- SHA-256; outlives the body
) STRICT;

-- What is to be forwarded next, those never tried first; settled deliveries take no room in it.
CREATE INDEX deliveries_pending ON deliveries ((attempts + deferrals > 0), next_attempt_time) WHERE state = 1;

CREATE TABLE payloads (
  delivery_id INTEGER PRIMARY KEY,
  body BLOB NOT NULL,
  signature_timestamp TEXT NOT NULL,
  content_type TEXT NOT NULL,
  user_agent TEXT NOT NULL,
  trace_parent TEXT NOT NULL
) STRICT;
