package ticket_test

import (
	"bytes"
	"flag"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketcodec"
)

// The number of checks of each property. The command line can change it, because it is parsed later.
func init() {
	if err := flag.Set("rapid.checks", "2500"); err != nil {
		panic(err)
	}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shuffled returns changes in a random order, with some of them more than once.
func shuffled(t *rapid.T, changes []ticket.Change) []ticket.Change {
	// One seed is drawn instead of each position, so that rapid shrinks the events to something readable.
	random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "order"), 0))
	sent := slices.Clone(changes)
	for range random.IntN(len(changes) + 1) {
		sent = append(sent, changes[random.IntN(len(changes))])
	}
	random.Shuffle(len(sent), func(i, j int) { sent[i], sent[j] = sent[j], sent[i] })
	return sent
}

// record merges changes as a store does: each event counts once, and the state is encoded and decoded between some of them.
func record(t *rapid.T, changes []ticket.Change) *ticket.State {
	pauses := rapid.Uint32().Draw(t, "pauses")
	seen := map[string]bool{}
	r := ticket.NewState(changes[0].TicketID)
	for i, c := range changes {
		if seen[c.EventID] {
			continue
		}
		seen[c.EventID] = true
		r.Apply(&c)
		if pauses&(1<<i) != 0 {
			var err error
			if r, err = ticketcodec.UnmarshalState(ticketcodec.MarshalState(r)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return r
}

func TestState_Apply_anyOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		changes := tickettest.Changes(t, "ticket")
		one, other := record(t, shuffled(t, changes)), record(t, shuffled(t, changes))
		if diff := cmp.Diff(one, other); diff != "" {
			t.Fatal(diff)
		}
		content, stamps := ticketcodec.MarshalState(one)
		otherContent, otherStamps := ticketcodec.MarshalState(other)
		if !bytes.Equal(content, otherContent) || !bytes.Equal(stamps, otherStamps) {
			t.Fatal("equal records have different bytes")
		}
		want, wantOutcomes := fold(changes)
		if diff := cmp.Diff(want, one.Ticket); diff != "" {
			t.Fatal(diff)
		}
		for i := range changes {
			if got := one.Outcome(changes[i].EventID, changes[i].ChangedFields()); got != wantOutcomes[changes[i].EventID] {
				t.Fatalf("outcome of %s is %d, want %d", changes[i].EventID, got, wantOutcomes[changes[i].EventID])
			}
		}
	})
}

// attributes holds the keys of the attributes that belong to fields.
var attributes = map[string]string{"title": "title", "description": "description", "phone_number": "phoneNumber",
	"increment_id": "incrementID", "status_text": "status", "category_id": "category", "assignee_id": "assignedTo", "channels": "channels",
	"creator_id": "createdBy", "property_id": "_embedded.property", "unit_name": "_embedded.unit",
	"label_ids": "labels", "tags": "tags", "file_ids": "files", "custom_settings": "customSettings", "comment_count": "commentCount",
	"create_time": "createdAt", "update_time": "updatedAt", "last_status_update_time": "lastStatusUpdate"}

// fold computes the expected result in another way: it sorts all events at once, and each overwrites the values of those before.
func fold(changes []ticket.Change) (ticket.Ticket, map[string]ticket.Outcome) {
	changes = slices.Clone(changes)
	slices.SortFunc(changes, func(a, b ticket.Change) int {
		if byTime := a.OccurTime.Compare(b.OccurTime); byTime != 0 {
			return byTime
		}
		if byUpdateTime := a.Values.UpdateTime.Compare(b.Values.UpdateTime); byUpdateTime != 0 {
			return byUpdateTime
		}
		if a.EventID < b.EventID {
			return -1
		}
		return 1
	})
	want := ticket.Ticket{ID: changes[0].TicketID, Revision: int64(len(changes))}
	owner := map[string]string{}
	whole, notKnown := false, map[string]bool{}
	for _, c := range changes {
		whole = whole || c.Name == ticket.Created || c.FullSnapshot
		for f := range c.Fields.All() {
			delete(notKnown, f.String())
			if c.ElementChanges.Has(f) {
				notKnown[f.String()] = true
			}
			reflect.ValueOf(f.Ref(&want)).Elem().Set(reflect.ValueOf(f.Ref(&c.Values)).Elem())
			owner[f.String()] = c.EventID
			if key := attributes[f.String()]; key != "" {
				delete(want.Attributes, key)
				owner["attributes."+key] = c.EventID
			}
		}
		for key, text := range c.Values.Attributes {
			if want.Attributes == nil {
				want.Attributes = map[string]string{}
			}
			want.Attributes[key] = text
			owner["attributes."+key] = c.EventID
		}
	}
	if len(want.Attributes) == 0 {
		want.Attributes = nil
	}
	want.Complete = whole && len(notKnown) == 0
	want.Status = map[string]ticket.Status{"closed": 4, "waiting-for-agent": 1}[want.StatusText]
	latest := changes[len(changes)-1]
	if !want.UpdateTime.Set || owner["update_time"] != latest.EventID && latest.OccurTime.Compare(want.UpdateTime) > 0 {
		want.UpdateTime = latest.OccurTime
	}

	outcomes := map[string]ticket.Outcome{}
	for _, c := range changes {
		var names []string
		for f := range c.Fields.All() {
			names = append(names, f.String())
		}
		for key := range c.Values.Attributes {
			names = append(names, "attributes."+key)
		}
		lost := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return owner[name] == c.EventID })
		switch {
		case len(names) == 0:
			outcomes[c.EventID] = ticket.OutcomeNoFields
		case len(lost) == 0:
			outcomes[c.EventID] = ticket.OutcomeCurrent
		case len(lost) == len(names):
			outcomes[c.EventID] = ticket.OutcomeSuperseded
		default:
			outcomes[c.EventID] = ticket.OutcomePartlySuperseded
		}
	}
	return want, outcomes
}

// apply merges changes of one ticket.
func apply(changes ...ticket.Change) ticket.Ticket {
	r := ticket.NewState("t")
	for i := range changes {
		r.Apply(&changes[i])
	}
	return r.Ticket
}

func update(eventID string, seconds int64, values ticket.Ticket, names ...string) ticket.Change {
	return ticket.Change{EventID: eventID, Name: ticket.Updated, TicketID: "t", OccurTime: tickettest.At(seconds), Values: values,
		Fields: tickettest.Named(names...)}
}

func TestState_Apply_nullIsAValue(t *testing.T) {
	t.Parallel()
	assigned := update("a", 1, ticket.Ticket{AssigneeID: "user", Title: "kept"}, "assignee_id", "title")
	cleared := update("b", 2, ticket.Ticket{}, "assignee_id")
	if got := apply(cleared, assigned); got.AssigneeID != "" || got.Title != "kept" {
		t.Errorf("assigned to %q, title %q; want nobody, kept", got.AssigneeID, got.Title)
	}
}

func TestVersion_equalTimes(t *testing.T) {
	t.Parallel()
	titled := func(id string) ticket.Change { return update(id, 1, ticket.Ticket{Title: id}, "title") }
	dated := func(id string, updated int64) ticket.Change {
		return update(id, 1, ticket.Ticket{Title: id, UpdateTime: tickettest.At(updated)}, "title", "update_time")
	}
	recordedBefore := func(c ticket.Change) ticket.Change {
		c.VersionWithoutUpdateTime = true
		return c
	}
	for name, test := range map[string]struct{ earlier, later ticket.Change }{
		"by id":                             {titled("a"), titled("b")},
		"by update time, against the id":    {dated("b", 2), dated("a", 3)},
		"no update time comes first":        {titled("b"), dated("a", -9)},
		"a cleared update time is none":     {update("b", 1, ticket.Ticket{Title: "b"}, "title", "update_time"), dated("a", -9)},
		"of equal update times by id":       {dated("a", 2), dated("b", 2)},
		"recorded before: no update time":   {recordedBefore(dated("b", 3)), dated("a", 2)},
		"both recorded before: by id again": {recordedBefore(dated("a", 3)), recordedBefore(dated("b", 2))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, got := range []ticket.Ticket{apply(test.earlier, test.later), apply(test.later, test.earlier)} {
				if got.Title != test.later.EventID {
					t.Errorf("title %q, want that of event %s", got.Title, test.later.EventID)
				}
			}
		})
	}
}

func TestState_Apply_updateTime(t *testing.T) {
	t.Parallel()
	dated := func(id string, at, says int64) ticket.Change {
		return update(id, at, ticket.Ticket{UpdateTime: tickettest.At(says)}, "update_time")
	}
	for name, test := range map[string]struct {
		changes []ticket.Change
		want    int64
	}{
		"no date": {[]ticket.Change{update("a", 5, ticket.Ticket{})}, 5},
		"the latest event's date, though it is older": {[]ticket.Change{dated("a", 5, 3)}, 3},
		"a later event without a date":                {[]ticket.Change{dated("a", 5, 3), update("b", 7, ticket.Ticket{}, "title")}, 7},
		"a later event, older than the date":          {[]ticket.Change{dated("a", 5, 9), update("b", 7, ticket.Ticket{}, "title")}, 9},
		"an earlier event without a date":             {[]ticket.Change{dated("a", 5, 3), update("b", 4, ticket.Ticket{}, "title")}, 3},
		"a date that was cleared":                     {[]ticket.Change{dated("a", 5, 3), update("b", 6, ticket.Ticket{}, "update_time")}, 6},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := apply(test.changes...).UpdateTime; got != tickettest.At(test.want) {
				t.Errorf("update time %+v, want %+v", got, tickettest.At(test.want))
			}
		})
	}
}

func TestState_Apply_exactStringGoesWithItsField(t *testing.T) {
	t.Parallel()
	exact := update("a", 1, ticket.Ticket{Title: "\ufffd", Attributes: map[string]string{"title": `"\ud800"`}}, "title")
	plain := update("b", 2, ticket.Ticket{Title: "plain"}, "title")
	elsewhere := update("c", 3, ticket.Ticket{Description: "x"}, "description")
	for name, test := range map[string]struct {
		changes []ticket.Change
		want    map[string]string
	}{
		"it stands while its field does": {[]ticket.Change{exact, elsewhere}, map[string]string{"title": `"\ud800"`}},
		"it goes with its field":         {[]ticket.Change{exact, plain}, nil},
		"it doesn't come back":           {[]ticket.Change{plain, exact}, nil},
		"an attribute of that name alone is later": {[]ticket.Change{
			update("d", 4, ticket.Ticket{Attributes: map[string]string{"title": "7"}}), plain, exact,
		}, map[string]string{"title": "7"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, apply(test.changes...).Attributes); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestState_Apply_attributeOfAField has values that do not fit the type of their field: the field is named and empty, and the attribute
// that belongs to it has the value.
func TestState_Apply_attributeOfAField(t *testing.T) {
	t.Parallel()
	for field, key := range attributes {
		f, _ := ticket.ParseField(field)
		event := func(id string, at int64, attribute string) ticket.Change {
			c := update(id, at, ticket.Ticket{}, field)
			if attribute != "" {
				c.Values.Attributes = map[string]string{key: attribute}
			}
			return c
		}
		alone := func(id string, at int64) ticket.Change {
			return update(id, at, ticket.Ticket{Attributes: map[string]string{key: "alone"}})
		}
		for name, test := range map[string]struct {
			changes []ticket.Change
			want    string
		}{
			"not typed":                       {[]ticket.Change{event("a", 1, "{}")}, "{}"},
			"not typed, then typed":           {[]ticket.Change{event("a", 1, "{}"), event("b", 2, "")}, ""},
			"typed, then not typed":           {[]ticket.Change{event("a", 1, ""), event("b", 2, "{}")}, "{}"},
			"not typed, then not typed":       {[]ticket.Change{event("a", 1, "{}"), event("b", 2, "[]")}, "[]"},
			"equal times, the typed later":    {[]ticket.Change{event("a", 1, "{}"), event("b", 1, "")}, ""},
			"equal times, the typed earlier":  {[]ticket.Change{event("a", 1, ""), event("b", 1, "{}")}, "{}"},
			"null":                            {[]ticket.Change{event("a", 1, "{}"), event("b", 2, "null")}, "null"},
			"alone, without the field":        {[]ticket.Change{event("a", 1, ""), alone("b", 2)}, "alone"},
			"alone, then typed":               {[]ticket.Change{alone("a", 1), event("b", 2, "")}, ""},
			"not typed, then alone, typed":    {[]ticket.Change{event("a", 1, "{}"), alone("b", 2), event("c", 3, "")}, ""},
			"alone between typed ones":        {[]ticket.Change{event("a", 1, ""), alone("b", 2), event("c", 1, "")}, "alone"},
			"alone, then not typed, no trace": {[]ticket.Change{alone("a", 1), event("b", 2, "{}"), event("c", 3, "")}, ""},
		} {
			for _, changes := range orders(test.changes) {
				got := apply(changes...)
				if text, ok := got.Attributes[key]; text != test.want || ok != (test.want != "") {
					t.Errorf("%s, %s: attribute %q, want %q", f, name, text, test.want)
				}
			}
		}
	}
}

// orders returns the changes in every order.
func orders(changes []ticket.Change) [][]ticket.Change {
	if len(changes) <= 1 {
		return [][]ticket.Change{changes}
	}
	var all [][]ticket.Change
	for i, first := range changes {
		rest := slices.Concat(changes[:i], changes[i+1:])
		for _, order := range orders(rest) {
			all = append(all, append([]ticket.Change{first}, order...))
		}
	}
	return all
}

func TestState_Apply_elementChanges(t *testing.T) {
	t.Parallel()
	created := update("created", 1, ticket.Ticket{LabelIDs: []string{"a"}, Tags: []string{"x"}}, "label_ids", "tags")
	created.Name = ticket.Created
	known := []string{"c"}
	elements := func(id string, at int64, fields ...string) ticket.Change {
		c := update(id, at, ticket.Ticket{Attributes: map[string]string{}}, fields...)
		c.ElementChanges = c.Fields
		for _, f := range fields {
			c.Values.Attributes[map[string]string{"label_ids": "labels", "tags": "tags"}[f]] = `{"added":["b"]}`
		}
		return c
	}
	full := func(id string, at int64) ticket.Change {
		return update(id, at, ticket.Ticket{LabelIDs: known}, "label_ids")
	}
	cleared := func(id string, at int64) ticket.Change { return update(id, at, ticket.Ticket{}, "label_ids") }
	snapshot := update("s", 9, ticket.Ticket{Title: "x"}, "title")
	snapshot.FullSnapshot = true
	for name, test := range map[string]struct {
		changes  []ticket.Change
		labels   []string
		complete bool
		kept     bool
	}{
		"a change":                           {[]ticket.Change{created, elements("a", 2, "label_ids")}, nil, false, true},
		"a later full value":                 {[]ticket.Change{created, elements("a", 2, "label_ids"), full("b", 3)}, known, true, false},
		"a later empty value":                {[]ticket.Change{created, elements("a", 2, "label_ids"), cleared("b", 3)}, nil, true, false},
		"an earlier full value":              {[]ticket.Change{created, elements("a", 3, "label_ids"), full("b", 2)}, nil, false, true},
		"a change earlier than the creation": {[]ticket.Change{created, elements("a", 0, "label_ids")}, []string{"a"}, true, false},
		"a later snapshot without the list":  {[]ticket.Change{created, elements("a", 2, "label_ids"), snapshot}, nil, false, true},
		"two lists, one is known again": {[]ticket.Change{created, elements("a", 2, "label_ids", "tags"), full("b", 3)}, known, false,
			false},
		"equal times, the full value later": {[]ticket.Change{created, elements("a", 2, "label_ids"), full("b", 2)}, known, true, false},
		"no creation":                       {[]ticket.Change{elements("a", 2, "label_ids"), full("b", 3)}, known, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, changes := range orders(test.changes) {
				got := apply(changes...)
				_, kept := got.Attributes["labels"]
				if !slices.Equal(got.LabelIDs, test.labels) || got.Complete != test.complete || kept != test.kept {
					t.Errorf("labels %q, complete %v, attribute kept %v; want %q, %v, %v", got.LabelIDs, got.Complete, kept, test.labels,
						test.complete, test.kept)
				}
			}
		})
	}
}

func TestState_Apply_complete(t *testing.T) {
	t.Parallel()
	created, snapshot := update("a", 1, ticket.Ticket{}), update("a", 1, ticket.Ticket{})
	created.Name, snapshot.FullSnapshot = ticket.Created, true
	for want, changes := range map[bool][]ticket.Change{
		false: {update("b", 2, ticket.Ticket{})},
		true:  {update("b", 2, ticket.Ticket{}), created},
	} {
		if got := apply(changes...).Complete; got != want {
			t.Errorf("complete = %v, want %v", got, want)
		}
	}
	if !apply(snapshot, update("b", 2, ticket.Ticket{})).Complete {
		t.Error("a snapshot does not make a ticket complete")
	}
}
