// Package tickettest holds the suite that every [ticket.Store] must pass, and what other tests share with it.
package tickettest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// Open opens the database of the test. A second call opens the same database again.
type Open func(t *testing.T) ticket.Store

// Env is the database of one test.
type Env struct {
	Open Open
	// Shared is set if several stores can have the database open at the same time.
	Shared bool
	// CorruptStored replaces the stored form of a ticket. No store may have the database open.
	CorruptStored func(t *testing.T, ticketID string, content, stamps []byte)
	// CorruptWords replaces the words of each ticket in the index by one word, and the version of the index by [FormerWordsVersion].
	CorruptWords func(t *testing.T, word string)
	// CorruptTime replaces the stored times of a ticket's events.
	CorruptTime func(t *testing.T, ticketID, text string)
}

// TestStore runs the suite. newEnv is called once for each test, and returns a new database.
func TestStore(t *testing.T, newEnv func(t *testing.T) Env) {
	for name, test := range map[string]func(*testing.T, Env){
		"Append records an event once":                                   testDuplicates,
		"Append in any order makes the same ticket":                      testOrder,
		"Append fails only the events of a ticket that can't be read":    testCorrupt,
		"Append leaves a ticket of a newer version as it is":             testNewer,
		"Append loses nothing of concurrent writers":                     testConcurrentWriters,
		"Append loses nothing of concurrent writers of the same tickets": testCrossedBatches,
		"Append leaves no gaps in the log":                               testLog,
		"ReadLog reads pages":                                            testLogPages,
		"ReadLog at the end of the log misses nothing":                   testTail,
		"ReadLog returns the tickets of the entries":                     testEntries,
		"ReadLog ends a page before it is too large":                     testLargeEntries,
		"PositionAt returns fingerprints":                                testPositions,
		"Append returns the end of the log":                              testLogEnd,
		"ReadSnapshot returns every ticket":                              testSnapshot,
		"TicketBefore returns the earlier ticket":                        testTicketBefore,
		"TicketBefore does not read large events":                        testTicketBeforeLargeEvents,
		"Subscribe notifies of each commit":                              testSubscribe,
		"DatabaseID identifies a database":                               func(t *testing.T, env Env) { testDatabaseID(t, env, newEnv(t)) },
		"ReceiptKey recognises the receipts of its database":             func(t *testing.T, env Env) { testReceiptKey(t, env, newEnv(t)) },
		"ListEvents returns pages with outcomes":                         testEventPages,
		"List follows filter and order":                                  testLists,
		"List by text finds words":                                       testText,
		"List by text finds the current words":                           testChangedText,
		"List by text finds words that change often":                     testTextUnderChanges,
		"List by text follows the rules for any text":                    testNastyTexts,
		"Open rebuilds an index of words of other rules":                 testWordsOfOtherRules,
		"List by text finds the first part of a large text":              testLargeTexts,
		"List by text neither skips nor repeats":                         testTextPages,
		"List takes ids that are longer than those of filters":           testLongIDs,
		"List neither skips nor repeats":                                 testPagesUnderWrites,
		"List ends a page before it is too large":                        testLargePages,
		"Append lets no ticket become too large":                         testLargestTicket,
		"BatchGet reads tickets at one moment":                           testBatchGet,
		"the memory budget is asked before anything is read":             testMemoryBudget,
		"ListEvents ends a page before it is too large":                  testLargeEventPages,
		"Stats follow the filter":                                        testStats,
		"Stats take ids that are longer than those of filters":           testStatsOfLongIDs,
		"Stats never drift from the tickets":                             testStatsNeverDrift,
		"Stats are right among writers":                                  testStatsAmongWriters,
		"Stats are of one moment":                                        testStatsOfOneMoment,
		"Erase removes a ticket for good":                                testErase,
		"Erase keeps events listed that can't be read":                   testErasedUnreadable,
		"Erase precedes the events of a ticket":                          testEraseAhead,
		"Erase is right among writers":                                   testEraseAmongWriters,
		"Erase removes several tickets":                                  testEraseSeveral,
		"ListErasures continues after a position":                        testErasures,
		"Close loses nothing":                                            testReopen,
		"Get returns extreme values":                                     testExtremes,
		"Calls end with an ended context":                                testEndedContext,
		"Append with a cancelled context records all or nothing":         testCancelledAppend,
		"Reads with a cancelled context are right or fail":               testCancelledReads,
		"Calls of a closed store fail":                                   testClosed,
		"Calls of an empty store return nothing":                         testEmpty,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newEnv(t))
		})
	}
}

// mustOpen opens a store, which is closed at the end of the test.
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

// stores opens n stores of one database, for concurrent calls. They are the same store if the database is not shared. They are closed at
// the end of the test.
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

// ignoreLogEnd compares results without the end of the log. testLogEnd checks that.
var ignoreLogEnd = cmpopts.IgnoreFields(ticket.AppendResult{}, "LogEnd")

// mustRecord appends changes, all of which must be new.
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

// titled is an update that names only the title.
func titled(eventID, ticketID string, seconds int64, title string) ticket.Change {
	return ticket.Change{EventID: eventID, Name: ticket.Updated, TicketID: ticketID, OccurTime: At(seconds), Fields: Named("title"),
		Values: ticket.Ticket{Title: title}}
}

// merged returns the ticket that the rules make of the changes.
func merged(changes ...ticket.Change) ticket.Ticket {
	state := ticket.NewState(changes[0].TicketID)
	for i := range changes {
		state.Apply(&changes[i])
	}
	return state.Ticket
}
