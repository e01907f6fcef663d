-- Stats: how many tickets there are, and which has waited longest.

-- Since when a ticket that is not closed has been in its status; '' for one that is closed or erased. stats.go fills it for the tickets
-- that are there.
ALTER TABLE tickets ADD COLUMN waiting_since TEXT NOT NULL DEFAULT '';

-- The ticket of each group that has waited longest is the first of it. Its columns are those of ticket_counts, then the order.
CREATE INDEX tickets_by_wait ON tickets (app_id, category_id, status, (assigned_to = ''), waiting_since, ticket_id)
WHERE waiting_since <> '';

-- How many tickets there are of each ticket.Group; groups without any are left out. Each transaction keeps it with the tickets that it
-- writes.
CREATE TABLE ticket_counts (
  app_id      TEXT NOT NULL,
  category_id TEXT NOT NULL,
  status      INTEGER NOT NULL,
  unassigned  INTEGER NOT NULL,
  tickets     INTEGER NOT NULL,
  PRIMARY KEY (app_id, category_id, status, unassigned)
) STRICT, WITHOUT ROWID;

-- Those to leave out.
CREATE INDEX ticket_counts_empty ON ticket_counts (tickets) WHERE tickets = 0;

INSERT INTO ticket_counts (app_id, category_id, status, unassigned, tickets)
SELECT app_id, category_id, status, assigned_to = '', count(*) FROM tickets WHERE erased = 0 GROUP BY 1, 2, 3, 4;
