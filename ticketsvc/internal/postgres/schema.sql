-- Ids and other texts from outside are escaped as postgresdb.EscapeText says, and sort by bytes. Times are texts of a fixed width in UTC,
-- such as 2026-03-02T07:15:30.123000000Z, so that they sort as times do and lose no nanosecond; '' is none.

-- The log of all events, and of erasures, which have no event id. Its sequence has no gaps and grows in commit order: see docs/event-log.md.
CREATE TABLE ticketsvc.events (
  sequence      bigint PRIMARY KEY,
  event_id      text COLLATE "C" UNIQUE,
  ticket_id     text COLLATE "C" NOT NULL,
  name          text COLLATE "C" NOT NULL,
  full_snapshot boolean NOT NULL,
  occur_time    text COLLATE "C" NOT NULL,
  receive_time  text COLLATE "C" NOT NULL,
  -- Which fields and attributes the event named: ticketcodec.MarshalContent.
  content       bytea NOT NULL,
  -- Their values, an allthings.ticket.v1.Ticket.
  payload       bytea NOT NULL
)
-- Rows up to a page stay as they are: to compress each of them costs more time than reading them saves.
WITH (toast_tuple_target = 8160);

CREATE INDEX events_by_ticket ON ticketsvc.events (ticket_id, sequence);

-- The tickets that the events make. Beside the ticket itself there are only the columns that filters and orders need.
CREATE TABLE ticketsvc.tickets (
  ticket_id   text COLLATE "C" PRIMARY KEY,
  -- An erased ticket's row stays, with its id alone, so that nothing brings the ticket back. Every query of tickets leaves it out.
  erased      boolean NOT NULL DEFAULT false,
  status      integer NOT NULL,
  app_id      text COLLATE "C" NOT NULL,
  category_id text COLLATE "C" NOT NULL,
  assigned_to text COLLATE "C" NOT NULL,
  property_id text COLLATE "C" NOT NULL,
  create_time text COLLATE "C" NOT NULL,
  update_time text COLLATE "C" NOT NULL,
  -- Where the ticket's values come from, and the ticket, an allthings.ticket.v1.Ticket: ticketcodec.MarshalRecord.
  stamps      bytea NOT NULL,
  content     bytea NOT NULL
)
-- Each event writes its ticket anew, and leaves a dead row of some kB behind. By default these would be vacuumed when there are a fifth as
-- many as there are tickets, which is gigabytes where there are millions.
WITH (toast_tuple_target = 8160, autovacuum_vacuum_scale_factor = 0.02);

-- The orders of lists.
CREATE INDEX tickets_by_create_time ON ticketsvc.tickets (create_time, ticket_id) WHERE NOT erased;
CREATE INDEX tickets_by_update_time ON ticketsvc.tickets (update_time, ticket_id) WHERE NOT erased;

-- The filters that leave few tickets, so that those few are sorted rather than all others skipped. Tickets without such an id are left
-- out: they can be half of all, and are found by an order.
CREATE INDEX tickets_by_assigned_to ON ticketsvc.tickets (assigned_to) WHERE assigned_to <> '';
CREATE INDEX tickets_by_property_id ON ticketsvc.tickets (property_id) WHERE property_id <> '';
