-- Text search: tickets are found by the words of their title and description.

-- The words of each ticket that has words, as ticket.Ticket.Words returns them, under the number of the ticket. Only the index is stored,
-- without the words as strings, their positions and their counts. For the tokenizer, ASCII letters, ASCII digits and all characters above
-- ASCII are parts of a word, so it does not change the words. With detail = none the index would be less than half as large, but together
-- with secure-delete it loses words of other tickets.
CREATE VIRTUAL TABLE ticket_words USING fts5(words, content = '', columnsize = 0, detail = column, tokenize = 'ascii');
-- Words that a ticket lost are marked, and removed when parts of the index are merged. To remove each word at once (secure-delete), SQLite
-- would read all tickets that have the word. An erasure merges the whole index.

-- One row. version is the ticket.WordsVersion by which the words were made. filled_to is the number of the last existing ticket whose words
-- are in the index, in the order of the numbers. It is NULL after all tickets are done. The empty version makes the service rebuild the
-- index.
CREATE TABLE words_version (version TEXT NOT NULL, filled_to INTEGER) STRICT;
INSERT INTO words_version (version) VALUES ('');
