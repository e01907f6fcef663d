// Package inboxtest tests what every [inbox.Store] must do, whatever its database.
package inboxtest

import (
	"crypto/sha256"
	"slices"
	"testing"
	"time"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
)

// Epoch is the time at which the suite's clocks begin.
var Epoch = time.Date(2026, 3, 2, 7, 15, 30, 123_456_789, time.UTC)

// lease is how long the suite's claims hold.
const lease = time.Minute

// Engine is a kind of database on which the suite is run.
type Engine struct {
	// Open opens the store on the database that the test knows by that name. If it is called with the same name again, it opens the same
	// database: at any time if the database is shared, otherwise after the store was closed. The store is closed at the end of the test.
	Open func(t *testing.T, name string) inbox.Store
	// Shared is set if several stores can be open on the same database at the same time.
	Shared bool
	// States returns the number of deliveries in each state in the database of that name. The test fails if a delivery does not have exactly
	// one payload.
	States func(t *testing.T, name string) map[inbox.State]int
}

// several returns n stores on the database "a". If a database can't be shared, it returns the same store n times.
func (e Engine) several(t *testing.T, n int) []inbox.Store {
	t.Helper()
	stores := make([]inbox.Store, n)
	for i := range stores {
		if i == 0 || e.Shared {
			stores[i] = e.Open(t, "a")
		} else {
			stores[i] = stores[0]
		}
	}
	return stores
}

// Run runs the suite.
func Run(t *testing.T, engine Engine) {
	for name, test := range map[string]func(*testing.T, Engine){
		"what is added can be claimed, whole":               testRoundTrip,
		"decisions follow the rules":                        testDecisions,
		"decisions follow the rules within a batch":         testDecisionsWithinABatch,
		"batches do what single deliveries do":              testBatches,
		"a good delivery takes a rejected one's place":      testReplace,
		"a body is not kept twice if it takes that place":   testReplaceBySameBodyAsConflict,
		"rejected deliveries are not claimed":               testRejectedAreNotClaimed,
		"an id is never given twice":                        testIDsAreNeverReused,
		"odd texts and large bodies come back unchanged":    testOddContent,
		"nothing to do is no error":                         testNothing,
		"claims go by due time and limit":                   testClaimOrder,
		"what was never tried is claimed first":             testUntriedFirst,
		"large bodies are claimed few at a time":            testLargeClaims,
		"large bodies go by due time, too":                  testLargeClaimsGoByDueTime,
		"next due":                                          testNextDue,
		"a finished delivery is not claimed again":          testFinish,
		"a delivery to be retried is claimed when due":      testRequeue,
		"a lease that ran out is taken over":                testLostLease,
		"a lease is good for one outcome":                   testLeaseIsUsedUp,
		"adders of the same event keep it once":             testSameEvent,
		"adders of the same events keep each once":          testSameEvents,
		"claimers get each delivery once":                   testConcurrentClaimers,
		"a delivery is finished once though leases run out": testConcurrentFinishers,
		"a context that ended changes nothing":              testEndedContext,
		"an add that is cut short keeps all or nothing":     testAddCutShort,
		"a claim that is cut short holds up for its lease":  testClaimCutShort,
		"an outcome cut short writes all or nothing":        testFinishCutShort,
		"questions that are cut short give no wrong answer": testQuestionsCutShort,
		"erasures are kept, and those missing are known":    testErasures,
		"readers of erasures do not undo one another":       testErasureReaders,
		"erasures that are cut short keep all or nothing":   testErasuresCutShort,
		"what was committed is there after a restart":       testReopen,
		"a closed store is unavailable":                     testClosed,
		"positions are unchecked, or checkpoints":           testPositions,
		"a replay takes what was forwarded since":           testReplay,
		"a replay holds up nothing new":                     testReplayHoldsUpNothingNew,
		"a loss while a replay runs widens it":              testReplayIsWidened,
		"a replay ends although losses go on":               testReplayEndsAlthoughLossesGoOn,
		"several take the steps of a replay":                testReplayers,
		"changes of positions are cut short":                testPositionsCutShort,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, engine)
		})
	}
}

// Incoming returns a delivery of ticket.created that came at [Epoch].
func Incoming(eventID, body string) inbox.Incoming {
	return inbox.Incoming{
		EventID: eventID, EventName: "ticket.created", TicketID: "ticket of " + eventID, ReceiveTime: Epoch, Body: []byte(body),
		BodyHash: sha256.Sum256([]byte(body)),
		Headers: inbox.Headers{SignatureTimestamp: "1772435730123", ContentType: "application/json", UserAgent: "sender",
			TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
	}
}

func rejected(eventID, body string) inbox.Incoming {
	a := Incoming(eventID, body)
	a.RejectReason = "stale"
	return a
}

func mustAdd(t *testing.T, store inbox.Store, incoming ...inbox.Incoming) []inbox.Action {
	t.Helper()
	actions, err := store.Add(t.Context(), incoming)
	if err != nil {
		t.Fatal(err)
	}
	return actions
}

func mustClaim(t *testing.T, store inbox.Store, now time.Time, limit int) []inbox.Delivery {
	t.Helper()
	deliveries, err := store.Claim(t.Context(), now, lease, limit)
	if err != nil {
		t.Fatal(err)
	}
	return deliveries
}

func mustFinish(t *testing.T, store inbox.Store, now time.Time, outcomes ...inbox.Outcome) (lost int) {
	t.Helper()
	lost, err := store.Finish(t.Context(), now, outcomes)
	if err != nil {
		t.Fatal(err)
	}
	return lost
}

func forwarded(d inbox.Delivery) inbox.Outcome {
	return inbox.Outcome{Lease: d.Lease, State: inbox.Forwarded}
}

func eventIDs(deliveries []inbox.Delivery) []string {
	ids := make([]string, len(deliveries))
	for i, d := range deliveries {
		ids[i] = d.EventID
	}
	slices.Sort(ids)
	return ids
}
