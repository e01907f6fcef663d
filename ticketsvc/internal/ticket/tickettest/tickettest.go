// Package tickettest holds the suite that every [ticket.Store] must pass, and what other tests share with it.
package tickettest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// Open returns the store in a place that belongs to the test; called again, it opens the same place again.
type Open func(t *testing.T) ticket.Store

// Env is where the stores of one test keep what they keep.
type Env struct {
	// Open opens the place.
	Open Open
	// Shared tells whether several stores can have the place open at the same time.
	Shared bool
	// CorruptStored gives a ticket that is kept another stored form, behind the back of the stores. None has the place open.
	CorruptStored func(t *testing.T, ticketID string, content, stamps []byte)
	// CorruptWords makes word the only one that each ticket has in the index of words, by the rules of [FormerWordsVersion].
	CorruptWords func(t *testing.T, word string)
	// CorruptTime gives the events of a ticket another stored time.
	CorruptTime func(t *testing.T, ticketID, text string)
}

// TestStore runs the suite. newEnv is called once for each test, and returns where that test has its stores.
func TestStore(t *testing.T, newEnv func(t *testing.T) Env) {
	for name, test := range map[string]func(*testing.T, Env){
		"an event is recorded once":                            testOnce,
		"the order of events makes no difference":              testOrder,
		"a ticket that can't be read fails its events alone":   testCorrupt,
		"a ticket of a newer version stays as it is":           testNewer,
		"concurrent writers lose nothing":                      testConcurrentWriters,
		"concurrent writers of the same tickets lose nothing":  testCrossedBatches,
		"the log has no gaps":                                  testLog,
		"the log is read in pages":                             testLogPages,
		"a reader at the end of the log misses nothing":        testTail,
		"entries of the log have their tickets":                testEntries,
		"entries of the log end before they are too large":     testLargeEntries,
		"positions of the log have fingerprints":               testPositions,
		"a recording says where the log ends":                  testLogEndOfRecorded,
		"a snapshot has every ticket":                          testSnapshot,
		"what a ticket was like before can be found out":       testTicketBefore,
		"large events are not looked back over":                testTicketBeforeLargeEvents,
		"commits are heard of":                                 testWatch,
		"a database is known by its id":                        func(t *testing.T, env Env) { testDatabaseID(t, env, newEnv(t)) },
		"a database knows its erasures by its key":             func(t *testing.T, env Env) { testErasureKey(t, env, newEnv(t)) },
		"events page and tell their outcome":                   testEventPages,
		"lists follow filter and order":                        testLists,
		"a text finds tickets by their words":                  testText,
		"a text finds what a ticket says now":                  testChangedText,
		"a text finds what tickets say that change often":      testTextUnderChanges,
		"any text finds what the rules say":                    testNastyTexts,
		"an index of words by other rules is made anew":        testWordsOfOtherRules,
		"of a large text a part counts":                        testLargeTexts,
		"pages of a text neither skip nor repeat":              testTextPages,
		"ids longer than any filter's are kept":                testLongIDs,
		"pages neither skip nor repeat":                        testPagesUnderWrites,
		"pages end before they are too large":                  testLargePages,
		"no ticket grows larger than an answer":                testLargestTicket,
		"many tickets are read at one moment":                  testBatchGet,
		"room is asked for before anything is read":            testRoom,
		"pages of events end before they are too large":        testLargeEventPages,
		"stats follow the filter":                              testStats,
		"stats take ids longer than any filter's":              testStatsOfLongIDs,
		"stats never drift from the tickets":                   testStatsNeverDrift,
		"stats hold among writers":                             testStatsAmongWriters,
		"stats are of one moment":                              testStatsOfOneMoment,
		"an erased ticket is gone, and stays so":               testErase,
		"an erased ticket's events are listed whatever":        testErasedUnreadable,
		"a ticket is erased ahead of its events":               testEraseAhead,
		"erasing holds among writers":                          testEraseAmongWriters,
		"several tickets are erased at once":                   testEraseSeveral,
		"erasures are listed after a position":                 testErasures,
		"everything survives closing":                          testReopen,
		"extreme values come back as they were":                testExtremes,
		"an ended context ends the call":                       testEndedContext,
		"a cancelled context leaves all or nothing":            testCancelledRecord,
		"a read with a cancelled context is right or an error": testCancelledReads,
		"a closed store is unavailable":                        testClosed,
		"an empty store has nothing":                           testEmpty,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newEnv(t))
		})
	}
}

// mustOpen opens a store until the end of the test.
func mustOpen(t *testing.T, env Env) ticket.Store {
	t.Helper()
	store := env.Open(t)
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// stores opens n stores in one place until the end of the test, for calls at the same time: one, n times, where the place is for one alone.
func stores(t *testing.T, env Env, n int) []ticket.Store {
	t.Helper()
	all := make([]ticket.Store, n)
	for i := range all {
		if i > 0 && !env.Shared {
			all[i] = all[0]
		} else {
			all[i] = mustOpen(t, env)
		}
	}
	return all
}

// ignoreLogEnd compares what became of changes without where the log ended, which testLogEndOfRecorded looks at.
var ignoreLogEnd = cmpopts.IgnoreFields(ticket.AppendResult{}, "LogEnd")

// mustRecord records changes, all of which must be new.
func mustRecord(t *testing.T, store ticket.Store, changes ...ticket.Change) {
	t.Helper()
	recorded, err := store.Append(t.Context(), changes)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(make([]ticket.AppendResult, len(changes)), recorded, ignoreLogEnd); diff != "" {
		t.Fatal(diff)
	}
}

func mustGet(t *testing.T, store ticket.Store, id string) ticket.Ticket {
	t.Helper()
	got, err := store.Get(t.Context(), id, nil)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// titled is an update that names the title alone.
func titled(eventID, ticketID string, seconds int64, title string) ticket.Change {
	return ticket.Change{EventID: eventID, Name: ticket.Updated, TicketID: ticketID, OccurTime: At(seconds), Fields: Named("title"),
		Values: ticket.Ticket{Title: title}}
}

// merged returns the ticket that the rules make of changes.
func merged(changes ...ticket.Change) ticket.Ticket {
	record := ticket.NewState(changes[0].TicketID)
	for i := range changes {
		record.Apply(&changes[i])
	}
	return record.Ticket
}
