-- Ids and other strings from outside are escaped by postgresdb.EscapeText, and sort by bytes. Times are strings of a fixed width in UTC,
-- such as 2026-03-02T07:15:30.123000000Z, so that they sort as times do and lose no nanosecond. An empty string is no time.

-- The log of all events and erasures. Erasures have no event id. The sequence has no gaps and grows in commit order: docs/event-log.md.
CREATE TABLE ticketsvc.events (
  sequence      bigint PRIMARY KEY,
  event_id      text COLLATE "C" UNIQUE,
  ticket_id     text COLLATE "C" NOT NULL,
  name          text COLLATE "C" NOT NULL,
  full_snapshot boolean NOT NULL,
  occur_time    text COLLATE "C" NOT NULL,
  receive_time  text COLLATE "C" NOT NULL,
  -- The names of the fields and attributes that the event named: ticketcodec.MarshalChangedFields.
  content       bytea NOT NULL,
  -- Their values, an allthings.ticket.v1.Ticket: ticketcodec.MarshalValues.
  payload       bytea NOT NULL
)
-- Rows up to the size of a page are not compressed. To compress each row would take more time than it saves when the row is read.
WITH (toast_tuple_target = 8160);

CREATE INDEX events_by_ticket ON ticketsvc.events (ticket_id, sequence);

-- The tickets that the events make. Besides the ticket itself there are only the columns that filters and orders need.
CREATE TABLE ticketsvc.tickets (
  ticket_id   text COLLATE "C" PRIMARY KEY,
  -- The row of an erased ticket stays, with the id only, so that no later event brings the ticket back. Every query of tickets leaves the
  -- row out.
  erased      boolean NOT NULL DEFAULT false,
  status      integer NOT NULL,
  app_id      text COLLATE "C" NOT NULL,
  category_id text COLLATE "C" NOT NULL,
  assigned_to text COLLATE "C" NOT NULL,
  property_id text COLLATE "C" NOT NULL,
  create_time text COLLATE "C" NOT NULL,
  update_time text COLLATE "C" NOT NULL,
  -- The versions of the ticket's values, and the ticket, an allthings.ticket.v1.Ticket: ticketcodec.MarshalState.
  stamps      bytea NOT NULL,
  content     bytea NOT NULL
)
-- Each event writes its ticket again, and leaves a dead row of some kB. By default, PostgreSQL vacuums when there are a fifth as many dead
-- rows as tickets: with millions of tickets, these are gigabytes.
WITH (toast_tuple_target = 8160, autovacuum_vacuum_scale_factor = 0.02);

-- The orders of lists.
CREATE INDEX tickets_by_create_time ON ticketsvc.tickets (create_time, ticket_id) WHERE NOT erased;
CREATE INDEX tickets_by_update_time ON ticketsvc.tickets (update_time, ticket_id) WHERE NOT erased;

-- The filters that select few tickets: these few are sorted, instead of skipping all others. Tickets without such an id are left out. They
-- can be half of all tickets, and the index of an order finds them.
CREATE INDEX tickets_by_assigned_to ON ticketsvc.tickets (assigned_to) WHERE assigned_to <> '';
CREATE INDEX tickets_by_property_id ON ticketsvc.tickets (property_id) WHERE property_id <> '';
