-- Positions of ticketsvc's log, as inbox.LogPosition has them. Those that are no checkpoints are of forwarded deliveries, and were not
-- looked for in ticketsvc's log since.
CREATE TABLE gateway.log_positions (
  id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  database_id      bytea NOT NULL,
  sequence         bigint NOT NULL,
  fingerprint      bigint NOT NULL,            -- of 64 bits, so it may be negative here
  forwarded_before bigint                      -- only of checkpoints: inbox.Checkpoint; 0 for the zero time
);

-- What forwarded deliveries are made pending again; no row when none are.
CREATE TABLE gateway.replay (
  one          integer PRIMARY KEY CHECK (one = 1),
  since        bigint NOT NULL,                -- those that were forwarded at that time or later
  after_id     bigint NOT NULL,                -- of the last delivery that was looked at
  through_id   bigint NOT NULL,                -- of the last delivery to look at
  requeued     bigint NOT NULL DEFAULT 0,
  without_body bigint NOT NULL DEFAULT 0
);
