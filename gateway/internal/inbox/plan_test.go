package inbox_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
)

// row is a delivery in a model of a database. New rows have the id 0.
type row struct {
	ID     int64
	State  inbox.State
	Body   string
	Reason string
}

// model is a database: its deliveries by key.
type model map[inbox.Key]row

func newRow(id int64, in *inbox.Incoming, reason string) row {
	if reason != "" {
		return row{ID: id, State: inbox.Rejected, Body: string(in.Body), Reason: reason}
	}
	return row{ID: id, State: inbox.Pending, Body: string(in.Body)}
}

// find returns the deliveries under keys.
func (m model) find(keys ...inbox.Key) map[inbox.Key]inbox.Existing {
	found := map[inbox.Key]inbox.Existing{}
	for _, key := range keys {
		if r, ok := m[key]; ok {
			found[key] = inbox.Existing{ID: r.ID, State: r.State, BodyHash: newIncoming("", r.Body, "").BodyHash}
		}
	}
	return found
}

// findOne returns the delivery under key, or nil if there is none.
func (m model) findOne(key inbox.Key) *inbox.Existing {
	if e, ok := m.find(key)[key]; ok {
		return &e
	}
	return nil
}

// addOne adds one delivery as [inbox.Decide] returns and [inbox.Action] describes.
func (m model) addOne(in *inbox.Incoming) inbox.Action {
	existing, sameBody := m.findOne(in.Key()), m.findOne(in.BodyKey())
	action := inbox.Decide(existing, sameBody, in)
	switch action {
	case inbox.Insert:
		m[in.Key()] = newRow(0, in, in.RejectReason)
	case inbox.Replace:
		if sameBody != nil && sameBody.State == inbox.Rejected {
			delete(m, in.BodyKey())
		}
		m[in.Key()] = newRow(existing.ID, in, in.RejectReason)
	case inbox.Conflict:
		m[in.BodyKey()] = newRow(0, in, cmp.Or(in.RejectReason, inbox.ReasonOtherBody))
	}
	return action
}

// apply carries out a plan, in the required order.
func (m model) apply(t *rapid.T, plan inbox.Plan) {
	keys := map[int64]inbox.Key{}
	for key, r := range m {
		keys[r.ID] = key
	}
	for _, id := range plan.Deletions {
		if m[keys[id]].State != inbox.Rejected {
			t.Errorf("delivery %d is deleted, which is %v", id, m[keys[id]])
		}
		delete(m, keys[id])
	}
	for _, r := range plan.Replacements {
		key, ok := keys[r.ID]
		if !ok || m[key].State != inbox.Rejected {
			t.Errorf("delivery %d is replaced, which is %v", r.ID, m[key])
		}
		delete(keys, r.ID)
		m[key] = newRow(r.ID, r.Incoming, r.Incoming.RejectReason)
	}
	for _, i := range plan.Insertions {
		if taken, ok := m[i.Key]; ok {
			t.Errorf("key %q is inserted, which is taken by %v", i.Key, taken)
		}
		m[i.Key] = newRow(0, i.Incoming, i.Incoming.RejectReason)
	}
}

// drawBatch draws deliveries of few events and few bodies. As in reality, a body has one event.
func drawBatch(t *rapid.T) []inbox.Incoming {
	draw := rapid.Custom(func(t *rapid.T) inbox.Incoming {
		event := rapid.SampledFrom([]string{"1", "2", ""}).Draw(t, "event")
		body := fmt.Sprintf("body %d of %q", rapid.IntRange(0, 2).Draw(t, "body"), event)
		reason := rapid.SampledFrom([]string{"", "", "stale"}).Draw(t, "reason")
		if event == "" {
			reason = "no id"
		}
		return *newIncoming(event, body, reason)
	})
	return rapid.SliceOfN(draw, 0, 12).Draw(t, "batch")
}

func TestNewPlan_doesTheSameAsOneByOne(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		db, lastID := model{}, int64(0)
		for range rapid.IntRange(1, 4).Draw(t, "batches") {
			batch := drawBatch(t)
			want, wantActions := maps.Clone(db), make([]inbox.Action, len(batch))
			for i := range batch {
				wantActions[i] = want.addOne(&batch[i])
			}
			existing := db.find(inbox.Keys(batch)...)
			maps.Copy(existing, db.find(inbox.ConflictKeys(batch, existing)...))
			plan := inbox.NewPlan(batch, existing)
			db.apply(t, plan)
			if diff := gocmp.Diff(wantActions, plan.Actions); diff != "" {
				t.Error(diff)
			}
			if diff := gocmp.Diff(want, db); diff != "" {
				t.Error(diff)
			}
			// Between two batches deliveries get ids, and may change their states.
			for _, key := range slices.Sorted(maps.Keys(db)) {
				r := db[key]
				if r.ID == 0 {
					lastID++
					r.ID = lastID
				}
				switch r.State {
				case inbox.Pending:
					r.State = rapid.SampledFrom([]inbox.State{inbox.Pending, inbox.Forwarded, inbox.Dead}).Draw(t, "state")
				default:
					if rapid.IntRange(0, 7).Draw(t, "retry") == 0 {
						r.State = inbox.Pending
					}
				}
				db[key] = r
			}
		}
	})
}

func TestNewPlan_writesEachDeliveryOnce(t *testing.T) {
	t.Parallel()
	stale, other, good := newIncoming("1", "body", "stale"), newIncoming("1", "other", "stale"), newIncoming("1", "other", "")
	hash := stale.BodyHash
	conflict := *newIncoming("1", "third", "")
	conflict.RejectReason = inbox.ReasonOtherBody
	tests := map[string]struct {
		batch    []inbox.Incoming
		existing map[inbox.Key]inbox.Existing
		want     inbox.Plan
	}{
		"a good one comes after a stale one and one set aside with its body": {
			batch: []inbox.Incoming{*stale, *other, *good},
			want: inbox.Plan{Actions: []inbox.Action{inbox.Insert, inbox.Conflict, inbox.Replace},
				Insertions: []inbox.Insertion{{Key: good.Key(), Incoming: good}}},
		},
		"the stale one is kept": {
			batch:    []inbox.Incoming{*other, *good, *good},
			existing: map[inbox.Key]inbox.Existing{stale.Key(): {ID: 7, State: inbox.Rejected, BodyHash: hash}},
			want: inbox.Plan{Actions: []inbox.Action{inbox.Conflict, inbox.Replace, inbox.Ignore},
				Replacements: []inbox.Replacement{{ID: 7, Incoming: good}}},
		},
		"both are kept": {
			batch: []inbox.Incoming{*good, *newIncoming("1", "third", "")},
			existing: map[inbox.Key]inbox.Existing{
				stale.Key():    {ID: 7, State: inbox.Rejected, BodyHash: hash},
				good.BodyKey(): {ID: 8, State: inbox.Rejected, BodyHash: good.BodyHash},
			},
			want: inbox.Plan{Actions: []inbox.Action{inbox.Replace, inbox.Conflict}, Deletions: []int64{8},
				Replacements: []inbox.Replacement{{ID: 7, Incoming: good}},
				Insertions:   []inbox.Insertion{{Key: conflict.BodyKey(), Incoming: &conflict}}},
		},
		"a conflict that exists comes twice more": {
			batch: []inbox.Incoming{*other, *other},
			existing: map[inbox.Key]inbox.Existing{
				stale.Key():     {ID: 7, State: inbox.Forwarded, BodyHash: hash},
				other.BodyKey(): {ID: 8, State: inbox.Rejected, BodyHash: other.BodyHash},
			},
			want: inbox.Plan{Actions: []inbox.Action{inbox.Ignore, inbox.Ignore}},
		},
		"what was set aside was retried": {
			batch: []inbox.Incoming{*good},
			existing: map[inbox.Key]inbox.Existing{
				stale.Key():    {ID: 7, State: inbox.Rejected, BodyHash: hash},
				good.BodyKey(): {ID: 8, State: inbox.Forwarded, BodyHash: good.BodyHash},
			},
			want: inbox.Plan{Actions: []inbox.Action{inbox.Replace}, Replacements: []inbox.Replacement{{ID: 7, Incoming: good}}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := gocmp.Diff(test.want, inbox.NewPlan(test.batch, test.existing), cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestConflictKeys_noneForNewEvents(t *testing.T) {
	t.Parallel()
	batch := []inbox.Incoming{*newIncoming("1", "a", ""), *newIncoming("2", "b", "stale"), *newIncoming("", "c", "no id")}
	existing := map[inbox.Key]inbox.Existing{batch[0].Key(): {ID: 1, State: inbox.Forwarded, BodyHash: batch[0].BodyHash}}
	if keys := inbox.ConflictKeys(batch, existing); len(keys) != 0 {
		t.Errorf("ConflictKeys = %q, want none for new events and a duplicate", keys)
	}
	if keys := inbox.Keys(append(batch, batch...)); len(keys) != len(batch) {
		t.Errorf("Keys = %q, want each once", keys)
	}
}
