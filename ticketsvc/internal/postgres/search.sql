-- Text search: tickets are found by the words of their title and description.

-- The words of each ticket that has had any, as ticket.Ticket.Words gives them. A table of its own, because nearly every event writes its
-- ticket anew, with an entry for it in each index of its table, and few change its words.
CREATE TABLE ticketsvc.ticket_words (
  ticket_id text COLLATE "C" PRIMARY KEY,
  words     tsvector NOT NULL
);

-- New entries wait in a list, which each search reads, and are put into their places many at a time, which is what makes that cheap.
CREATE INDEX ticket_words_by_word ON ticketsvc.ticket_words USING gin (words) WITH (fastupdate = on, gin_pending_list_limit = 1024);

-- One row: by which rules those words were made, as ticket.WordsVersion names them, and up to which ticket, in the order of their ids, all
-- that were there before have theirs; NULL once that are all. At first they are of no rules, so the service makes them.
CREATE TABLE ticketsvc.words_version (
  version   text COLLATE "C" NOT NULL,
  filled_to text COLLATE "C"
);
INSERT INTO ticketsvc.words_version (version) VALUES ('');
