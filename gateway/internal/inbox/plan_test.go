package inbox_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
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

func newRow(id int64, a *inbox.Arrival, reason string) row {
	if reason != "" {
		return row{ID: id, State: inbox.Rejected, Body: string(a.Body), Reason: reason}
	}
	return row{ID: id, State: inbox.Pending, Body: string(a.Body)}
}

// kept returns the deliveries that are kept under keys.
func (m model) kept(keys ...inbox.Key) map[inbox.Key]inbox.Kept {
	found := map[inbox.Key]inbox.Kept{}
	for _, key := range keys {
		if r, ok := m[key]; ok {
			found[key] = inbox.Kept{ID: r.ID, State: r.State, BodyHash: arrival("", r.Body, "").BodyHash}
		}
	}
	return found
}

// addOne adds one arrival as [inbox.Decide] returns and [inbox.Action] describes.
func (m model) addOne(a *inbox.Arrival) inbox.Action {
	var kept *inbox.Kept
	if k, ok := m.kept(a.Key())[a.Key()]; ok {
		kept = &k
	}
	action := inbox.Decide(kept, a)
	aside, hasAside := m[a.BodyKey()]
	switch action {
	case inbox.Insert:
		m[a.Key()] = newRow(0, a, a.RejectReason)
	case inbox.Replace:
		if hasAside && aside.State == inbox.Rejected {
			delete(m, a.BodyKey())
		}
		m[a.Key()] = newRow(kept.ID, a, a.RejectReason)
	case inbox.SetAside:
		if reason := a.RejectReason; !hasAside && reason != "" {
			m[a.BodyKey()] = newRow(0, a, reason)
		} else if !hasAside {
			m[a.BodyKey()] = newRow(0, a, inbox.ReasonOtherBody)
		}
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
		m[key] = newRow(r.ID, r.Arrival, r.Arrival.RejectReason)
	}
	for _, i := range plan.Insertions {
		if taken, ok := m[i.Key]; ok {
			t.Errorf("key %q is inserted, which is taken by %v", i.Key, taken)
		}
		m[i.Key] = newRow(0, i.Arrival, i.Arrival.RejectReason)
	}
}

// drawBatch draws arrivals of few events and few bodies. As in reality, a body has one event.
func drawBatch(t *rapid.T) []inbox.Arrival {
	draw := rapid.Custom(func(t *rapid.T) inbox.Arrival {
		event := rapid.SampledFrom([]string{"1", "2", ""}).Draw(t, "event")
		body := fmt.Sprintf("body %d of %q", rapid.IntRange(0, 2).Draw(t, "body"), event)
		reason := rapid.SampledFrom([]string{"", "", "stale"}).Draw(t, "reason")
		if event == "" {
			reason = "no id"
		}
		return *arrival(event, body, reason)
	})
	return rapid.SliceOfN(draw, 0, 12).Draw(t, "batch")
}

func TestPlanDoesWhatItsArrivalsDoOneByOne(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		db, lastID := model{}, int64(0)
		for range rapid.IntRange(1, 4).Draw(t, "batches") {
			batch := drawBatch(t)
			want, wantActions := maps.Clone(db), make([]inbox.Action, len(batch))
			for i := range batch {
				wantActions[i] = want.addOne(&batch[i])
			}
			kept := db.kept(inbox.Keys(batch)...)
			maps.Copy(kept, db.kept(inbox.AsideKeys(batch, kept)...))
			plan := inbox.NewPlan(batch, kept)
			db.apply(t, plan)
			if diff := cmp.Diff(wantActions, plan.Actions); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(want, db); diff != "" {
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

func TestPlanWritesEachDeliveryOnce(t *testing.T) {
	t.Parallel()
	stale, other, good := arrival("1", "body", "stale"), arrival("1", "other", "stale"), arrival("1", "other", "")
	hash := stale.BodyHash
	aside := *arrival("1", "third", "")
	aside.RejectReason = inbox.ReasonOtherBody
	tests := map[string]struct {
		batch []inbox.Arrival
		kept  map[inbox.Key]inbox.Kept
		want  inbox.Plan
	}{
		"a good one comes behind a stale one and one set aside with its body": {
			batch: []inbox.Arrival{*stale, *other, *good},
			want: inbox.Plan{Actions: []inbox.Action{inbox.Insert, inbox.SetAside, inbox.Replace},
				Insertions: []inbox.Insertion{{Key: good.Key(), Arrival: good}}},
		},
		"the stale one is kept": {
			batch: []inbox.Arrival{*other, *good, *good},
			kept:  map[inbox.Key]inbox.Kept{stale.Key(): {ID: 7, State: inbox.Rejected, BodyHash: hash}},
			want: inbox.Plan{Actions: []inbox.Action{inbox.SetAside, inbox.Replace, inbox.Ignore},
				Replacements: []inbox.Replacement{{ID: 7, Arrival: good}}},
		},
		"both are kept": {
			batch: []inbox.Arrival{*good, *arrival("1", "third", "")},
			kept: map[inbox.Key]inbox.Kept{
				stale.Key():    {ID: 7, State: inbox.Rejected, BodyHash: hash},
				good.BodyKey(): {ID: 8, State: inbox.Rejected, BodyHash: good.BodyHash},
			},
			want: inbox.Plan{Actions: []inbox.Action{inbox.Replace, inbox.SetAside}, Deletions: []int64{8},
				Replacements: []inbox.Replacement{{ID: 7, Arrival: good}},
				Insertions:   []inbox.Insertion{{Key: aside.BodyKey(), Arrival: &aside}}},
		},
		"what was set aside was tried again": {
			batch: []inbox.Arrival{*good},
			kept: map[inbox.Key]inbox.Kept{
				stale.Key():    {ID: 7, State: inbox.Rejected, BodyHash: hash},
				good.BodyKey(): {ID: 8, State: inbox.Forwarded, BodyHash: good.BodyHash},
			},
			want: inbox.Plan{Actions: []inbox.Action{inbox.Replace}, Replacements: []inbox.Replacement{{ID: 7, Arrival: good}}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, inbox.NewPlan(test.batch, test.kept), cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPlansOfNewEventsNeedOneLookUp(t *testing.T) {
	t.Parallel()
	batch := []inbox.Arrival{*arrival("1", "a", ""), *arrival("2", "b", "stale"), *arrival("", "c", "no id")}
	kept := map[inbox.Key]inbox.Kept{batch[0].Key(): {ID: 1, State: inbox.Forwarded, BodyHash: batch[0].BodyHash}}
	if keys := inbox.AsideKeys(batch, kept); len(keys) != 0 {
		t.Errorf("AsideKeys = %q, want none for new events and a duplicate", keys)
	}
	if keys := inbox.Keys(append(batch, batch...)); len(keys) != len(batch) {
		t.Errorf("Keys = %q, want each once", keys)
	}
}
