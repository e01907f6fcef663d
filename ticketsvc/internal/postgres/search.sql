-- Text search: tickets are found by the words of their title and description.

-- The words of each ticket that has had any, as ticket.Ticket.Words gives them. A table of its own, because nearly every event writes its
-- ticket anew, with an entry for it in each index of its table, and few change its words.
CREATE TABLE ticketsvc.ticket_words (
  ticket_id text COLLATE "C" PRIMARY KEY,
  words     tsvector NOT NULL
);

-- New entries wait in a list, which each search reads, and are put into their places many at a time, which is what makes that cheap.
CREATE INDEX ticket_words_by_word ON ticketsvc.ticket_words USING gin (words) WITH (fastupdate = on, gin_pending_list_limit = 1024);

-- The tickets that were there before, until their words are in the table too.
CREATE TABLE ticketsvc.tickets_without_words (ticket_id text COLLATE "C" PRIMARY KEY);
INSERT INTO ticketsvc.tickets_without_words (ticket_id) SELECT ticket_id FROM ticketsvc.tickets WHERE NOT erased;
