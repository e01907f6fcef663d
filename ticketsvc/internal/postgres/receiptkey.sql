-- The key of the receipts of erasures: ticket.ReceiptKey. makeReceiptKey sets it.
ALTER TABLE ticketsvc.identity ADD COLUMN erasure_key bytea NOT NULL DEFAULT '';

-- The erasures of the log in their order. They have no event id.
CREATE INDEX events_erasures ON ticketsvc.events (sequence) WHERE event_id IS NULL;
