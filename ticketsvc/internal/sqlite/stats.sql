-- Stats: the numbers of tickets, and the tickets that have waited longest.

-- The time since which a ticket that is not closed has been in its status. It is empty for a closed or erased ticket. fillWaits sets it for
-- the existing tickets.
ALTER TABLE tickets ADD COLUMN waiting_since TEXT NOT NULL DEFAULT '';

-- The first ticket of each group in this index is the one that has waited longest. The columns are those of ticket_counts, then the order.
CREATE INDEX tickets_by_wait ON tickets (app_id, category_id, status, (assigned_to = ''), waiting_since, ticket_id)
WHERE waiting_since <> '';

-- The number of tickets of each ticket.Group. Groups without tickets are left out. Each transaction updates the numbers for the tickets
-- that it writes.
CREATE TABLE ticket_counts (
  app_id      TEXT NOT NULL,
  category_id TEXT NOT NULL,
  status      INTEGER NOT NULL,
  unassigned  INTEGER NOT NULL,
  tickets     INTEGER NOT NULL,
  PRIMARY KEY (app_id, category_id, status, unassigned)
) STRICT, WITHOUT ROWID;

-- The groups to delete.
CREATE INDEX ticket_counts_empty ON ticket_counts (tickets) WHERE tickets = 0;

INSERT INTO ticket_counts (app_id, category_id, status, unassigned, tickets)
SELECT app_id, category_id, status, assigned_to = '', count(*) FROM tickets WHERE erased = 0 GROUP BY 1, 2, 3, 4;
