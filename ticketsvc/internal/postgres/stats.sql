-- Stats: the numbers of tickets, and the tickets that have waited longest.

-- The time since which a ticket that is not closed has been in its status. It is empty for a closed or erased ticket. fillWaits sets it for
-- the existing tickets.
ALTER TABLE ticketsvc.tickets ADD COLUMN waiting_since text COLLATE "C" NOT NULL DEFAULT '';

-- The first ticket of each group in this index is the one that has waited longest. The columns are those of ticket_counts, then the order.
CREATE INDEX tickets_by_wait ON ticketsvc.tickets (app_id, category_id, status, (assigned_to = ''), waiting_since, ticket_id)
WHERE waiting_since <> '';

-- The number of tickets of each ticket.Group, together with the changes in ticket_count_changes. docs/decisions.md has the reason for two
-- tables.
CREATE TABLE ticketsvc.ticket_counts (
  app_id      text COLLATE "C" NOT NULL,
  category_id text COLLATE "C" NOT NULL,
  status      integer NOT NULL,
  unassigned  boolean NOT NULL,
  tickets     bigint NOT NULL,
  PRIMARY KEY (app_id, category_id, status, unassigned)
);

-- The changes of these numbers by each transaction. The sequence is that of the last event of the transaction.
CREATE TABLE ticketsvc.ticket_count_changes (
  sequence     bigint PRIMARY KEY,
  app_ids      text[] NOT NULL,
  category_ids text[] NOT NULL,
  statuses     integer[] NOT NULL,
  unassigned   boolean[] NOT NULL,
  changes      bigint[] NOT NULL
);

-- The sequence up to which the changes are in ticket_counts, and deleted. One row.
CREATE TABLE ticketsvc.ticket_counts_folded (
  sequence bigint NOT NULL
);

INSERT INTO ticketsvc.ticket_counts (app_id, category_id, status, unassigned, tickets)
SELECT app_id, category_id, status, assigned_to = '', count(*) FROM ticketsvc.tickets WHERE NOT erased GROUP BY 1, 2, 3, 4;

INSERT INTO ticketsvc.ticket_counts_folded SELECT coalesce(max(sequence), 0) FROM ticketsvc.events;
