-- Text search: tickets are found by the words of their title and description.

-- The words of each ticket that has any, as ticket.Ticket.Words gives them, under its number. The index alone: the words are not kept as
-- a text, and neither are their places and counts. Its tokenizer takes ASCII letters and digits and all that is beyond ASCII for parts of
-- a word, so it leaves those words as they are. Not detail = none, which is less than half as large: together with secure-delete that
-- loses words of other tickets.
CREATE VIRTUAL TABLE ticket_words USING fts5(words, content = '', columnsize = 0, detail = column, tokenize = 'ascii');
-- Words that a ticket lost are marked, and go when parts of the index are merged: to take each out at once (secure-delete) goes through all
-- tickets that have it. Erasing merges all.

-- One row: by which rules those words were made, as ticket.WordsVersion names them, and up to which ticket, in the order of their numbers,
-- all that were there before have theirs; NULL once that are all. At first they are of no rules, so the service makes them.
CREATE TABLE words_version (version TEXT NOT NULL, filled_to INTEGER) STRICT;
INSERT INTO words_version (version) VALUES ('');
