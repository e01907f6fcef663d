-- Version 2: tickets can be erased. Each erasure is an entry of the log, without an event id.
CREATE TABLE events_2 (
  sequence      INTEGER PRIMARY KEY,
  event_id      TEXT UNIQUE,
  ticket_id     TEXT NOT NULL,
  name          TEXT NOT NULL,
  full_snapshot INTEGER NOT NULL,
  occur_time    TEXT NOT NULL,
  receive_time  TEXT NOT NULL,
  content       BLOB NOT NULL,
  payload       BLOB NOT NULL
) STRICT;

INSERT INTO events_2 (sequence, event_id, ticket_id, name, full_snapshot, occur_time, receive_time, content, payload)
SELECT sequence, event_id, ticket_id, name, full_snapshot, occur_time, receive_time, content, payload FROM events ORDER BY sequence;

DROP TABLE events;

ALTER TABLE events_2 RENAME TO events;

CREATE INDEX events_by_ticket ON events (ticket_id, sequence);

CREATE TABLE tickets_2 (
  number      INTEGER PRIMARY KEY,
  ticket_id   TEXT NOT NULL UNIQUE,
  -- The row of an erased ticket stays, with the id only, so that no later event brings the ticket back. Every query of tickets leaves the
  -- row out. The column is before the content, so that SQLite reads it without the pages of the content.
  erased      INTEGER NOT NULL DEFAULT 0,
  status      INTEGER NOT NULL,
  app_id      TEXT NOT NULL,
  category_id TEXT NOT NULL,
  assigned_to TEXT NOT NULL,
  property_id TEXT NOT NULL,
  create_time TEXT NOT NULL,
  update_time TEXT NOT NULL,
  stamps      BLOB NOT NULL,
  content     BLOB NOT NULL
) STRICT;

INSERT INTO tickets_2 (number, ticket_id, status, app_id, category_id, assigned_to, property_id, create_time, update_time, stamps, content)
SELECT number, ticket_id, status, app_id, category_id, assigned_to, property_id, create_time, update_time, stamps, content FROM tickets
ORDER BY number;

DROP TABLE tickets;

ALTER TABLE tickets_2 RENAME TO tickets;

CREATE INDEX tickets_by_create_time ON tickets (create_time, ticket_id) WHERE erased = 0;
CREATE INDEX tickets_by_update_time ON tickets (update_time, ticket_id) WHERE erased = 0;
CREATE INDEX tickets_by_assigned_to ON tickets (assigned_to) WHERE assigned_to <> '';
CREATE INDEX tickets_by_property_id ON tickets (property_id) WHERE property_id <> '';
