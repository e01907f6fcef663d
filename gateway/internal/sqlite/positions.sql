-- Positions of ticketsvc's log, as inbox.LogPosition has them. Those that are no checkpoints are of forwarded deliveries, and were not
-- looked for in ticketsvc's log since.
CREATE TABLE log_positions (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  database_id BLOB NOT NULL,
  sequence INTEGER NOT NULL,
  fingerprint INTEGER NOT NULL,       -- of 64 bits, so it may be negative here
  forwarded_before INTEGER            -- only of checkpoints: inbox.Checkpoint; 0 for the zero time
) STRICT;

-- What forwarded deliveries are made pending again; no row when none are.
CREATE TABLE replay (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  since INTEGER NOT NULL,             -- those that were forwarded at that time or later
  after_id INTEGER NOT NULL,          -- of the last delivery that was looked at
  through_id INTEGER NOT NULL,        -- of the last delivery to look at
  requeued INTEGER NOT NULL DEFAULT 0,
  without_body INTEGER NOT NULL DEFAULT 0
) STRICT;
