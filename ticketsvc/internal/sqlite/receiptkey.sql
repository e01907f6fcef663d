-- The key of the receipts of erasures: ticket.ReceiptKey. makeReceiptKey sets it.
ALTER TABLE identity ADD COLUMN erasure_key BLOB NOT NULL DEFAULT x'';
