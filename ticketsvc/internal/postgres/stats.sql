-- Stats: how many tickets there are, and which has waited longest.

-- Since when a ticket that is not closed has been in its status; '' for one that is closed or erased. stats.go fills it for the tickets
-- that are there.
ALTER TABLE ticketsvc.tickets ADD COLUMN waiting_since text COLLATE "C" NOT NULL DEFAULT '';

-- The ticket of each group that has waited longest is the first of it. Its columns are those of ticket_counts, then the order.
CREATE INDEX tickets_by_wait ON ticketsvc.tickets (app_id, category_id, status, (assigned_to = ''), waiting_since, ticket_id)
WHERE waiting_since <> '';

-- How many tickets there are of each ticket.Group, together with what ticket_count_changes says. docs/decisions.md tells why there are two.
CREATE TABLE ticketsvc.ticket_counts (
  app_id      text COLLATE "C" NOT NULL,
  category_id text COLLATE "C" NOT NULL,
  status      integer NOT NULL,
  unassigned  boolean NOT NULL,
  tickets     bigint NOT NULL,
  PRIMARY KEY (app_id, category_id, status, unassigned)
);

-- By how much each transaction changed these numbers. Its sequence is that of the last event of the transaction.
CREATE TABLE ticketsvc.ticket_count_changes (
  sequence     bigint PRIMARY KEY,
  app_ids      text[] NOT NULL,
  category_ids text[] NOT NULL,
  statuses     integer[] NOT NULL,
  unassigned   boolean[] NOT NULL,
  changes      bigint[] NOT NULL
);

-- Up to where the changes are in ticket_counts and deleted. One row.
CREATE TABLE ticketsvc.ticket_counts_folded (
  sequence bigint NOT NULL
);

INSERT INTO ticketsvc.ticket_counts (app_id, category_id, status, unassigned, tickets)
SELECT app_id, category_id, status, assigned_to = '', count(*) FROM ticketsvc.tickets WHERE NOT erased GROUP BY 1, 2, 3, 4;

INSERT INTO ticketsvc.ticket_counts_folded SELECT coalesce(max(sequence), 0) FROM ticketsvc.events;
