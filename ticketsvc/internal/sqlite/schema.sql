-- Times are strings of a fixed width in UTC, such as 2026-03-02T07:15:30.123000000Z, so that they sort as times do. An empty string is no
-- time.

-- The log of all events. Its sequence has no gaps and grows in commit order, because the only writer assigns it within the transaction.
CREATE TABLE events (
  sequence      INTEGER PRIMARY KEY,
  event_id      TEXT NOT NULL UNIQUE,
  ticket_id     TEXT NOT NULL,
  name          TEXT NOT NULL,
  full_snapshot INTEGER NOT NULL,
  occur_time    TEXT NOT NULL,
  receive_time  TEXT NOT NULL,
  -- The names of the fields and attributes that the event named: ticketcodec.MarshalChangedFields.
  content       BLOB NOT NULL,
  -- Their values, an allthings.ticket.v1.Ticket: ticketcodec.MarshalValues. The column is the last one, so that SQLite reads the other
  -- columns without its pages.
  payload       BLOB NOT NULL
) STRICT;

CREATE INDEX events_by_ticket ON events (ticket_id, sequence);

-- The tickets that the events make. Besides the ticket itself there are only the columns that filters and orders need.
CREATE TABLE tickets (
  number      INTEGER PRIMARY KEY,
  ticket_id   TEXT NOT NULL UNIQUE,
  status      INTEGER NOT NULL,
  app_id      TEXT NOT NULL,
  category_id TEXT NOT NULL,
  assigned_to TEXT NOT NULL,
  property_id TEXT NOT NULL,
  create_time TEXT NOT NULL,
  update_time TEXT NOT NULL,
  -- The versions of the ticket's values, and the ticket, an allthings.ticket.v1.Ticket: ticketcodec.MarshalState.
  stamps      BLOB NOT NULL,
  content     BLOB NOT NULL
) STRICT;

-- The orders of lists.
CREATE INDEX tickets_by_create_time ON tickets (create_time, ticket_id);
CREATE INDEX tickets_by_update_time ON tickets (update_time, ticket_id);

-- The filters that select few tickets: these few are sorted, instead of skipping all others. Tickets without such an id are left out. They
-- can be half of all tickets, and the index of an order finds them.
CREATE INDEX tickets_by_assigned_to ON tickets (assigned_to) WHERE assigned_to <> '';
CREATE INDEX tickets_by_property_id ON tickets (property_id) WHERE property_id <> '';
