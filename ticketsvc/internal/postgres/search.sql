-- Text search: tickets are found by the words of their title and description.

-- The words of each ticket that has or had words, as ticket.Ticket.Words returns them. They have a table of their own, because nearly every
-- event writes its ticket again, with an entry in each index of the ticket's table, but few events change the words.
CREATE TABLE ticketsvc.ticket_words (
  ticket_id text COLLATE "C" PRIMARY KEY,
  words     tsvector NOT NULL
);

-- New entries wait in a list, which each search reads. Many entries are moved into the index at a time, which is cheap.
CREATE INDEX ticket_words_by_word ON ticketsvc.ticket_words USING gin (words) WITH (fastupdate = on, gin_pending_list_limit = 1024);

-- One row. version is the ticket.WordsVersion by which the words were made. filled_to is the id of the last existing ticket whose words are
-- stored, in the order of the ids. It is NULL after all tickets are done. The empty version makes the service rebuild the words.
CREATE TABLE ticketsvc.words_version (
  version   text COLLATE "C" NOT NULL,
  filled_to text COLLATE "C"
);
INSERT INTO ticketsvc.words_version (version) VALUES ('');
