-- Parts of the index of words are merged when there are eight of a size, not four: that takes a third less work, and lookups are as fast.
-- With 16, where FTS5 merges them all at once, some commits wait twice as long.
INSERT INTO ticket_words (ticket_words, rank) VALUES ('automerge', 8);
