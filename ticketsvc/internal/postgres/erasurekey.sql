-- The database has a secret, by which it knows again what it erased: ticket.ErasureKey. erasures.go makes it.
ALTER TABLE ticketsvc.identity ADD COLUMN erasure_key bytea NOT NULL DEFAULT '';

-- The log's erasures, which have no event id, in their order.
CREATE INDEX events_erasures ON ticketsvc.events (sequence) WHERE event_id IS NULL;
