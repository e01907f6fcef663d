package tickettest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// described is a creation that names title and description.
func described(eventID, ticketID string, seconds int64, title, description string) ticket.Change {
	return ticket.Change{EventID: eventID, Name: ticket.Created, TicketID: ticketID, OccurTime: At(seconds),
		Fields: Named("title", "description"), Values: ticket.Ticket{Title: title, Description: description}}
}

// found returns the ids of the tickets that a text finds, oldest first. It reads pages of 3.
func found(t *testing.T, store ticket.Store, text string) string {
	t.Helper()
	var ids []string
	for _, one := range listAll(t, store, ticket.Filter{Text: text}, orders[0], 3) {
		ids = append(ids, one.ID)
	}
	return strings.Join(ids, " ")
}

func testText(t *testing.T, env Env) {
	store := mustOpen(t, env)
	mustRecord(t, store,
		described("e1", "heat", 1, "Heizung im Bad kalt", "Seit gestern bleibt der Heizkörper kalt. Bereits zweimal entlüftet."),
		described("e2", "radiator", 2, "HEIZKO\u0308RPER", "Er heizt nicht, Hauptstraße 7, 3.02"),
		described("e3", "lift", 3, "Lift steht", "Hauptstrasse 70"),
		described("e4", "street", 4, "", "HAUPTSTRAẞE"),
		described("e5", "emoji", 5, "Kein warmes Wasser 🚿", "l'eau est froide à l'étage"),
		described("e6", "japanese", 6, "水漏れ", "台所の水が漏れる"),
		described("e7", "empty", 7, "", ""),
		described("e8", "signs", 8, "?!", "…"),
		described("e9", "number", 9, "Ticket 10432", "x² ﬁn"),
		described("e10", "letters", 10, "Đức Sørensen, Łódź", "ÆRØ, Þór, œuvre"),
	)
	for text, want := range map[string]string{
		"heizung":                     "heat",
		"Heiz":                        "heat radiator",
		"heizkorper":                  "heat radiator",
		"Heizkörper":                  "heat radiator",
		"heizko\u0308rp":              "heat radiator",
		"HEIZKÖRPER":                  "heat radiator",
		"eizung":                      "",
		"heizungen":                   "",
		"kalt heiz":                   "heat",
		"bad entlüftet":               "heat",
		"lift 70":                     "lift",
		"lift 7":                      "lift",
		"70 7":                        "lift",
		"hauptstrasse":                "radiator lift street",
		"hauptstraße":                 "radiator lift street",
		"haupt 7":                     "radiator lift",
		"3.02":                        "radiator",
		"02":                          "radiator",
		"2":                           "",
		"104":                         "number",
		"0432":                        "",
		"x2 fin":                      "number",
		"lodz":                        "letters",
		"Łód":                         "letters",
		"sorensen duc":                "letters",
		"ĐUC SØR":                     "letters",
		"aero thor oeuvre":            "letters",
		"eau etage":                   "emoji",
		"l'eau":                       "emoji",
		"水":                           "japanese",
		"漏水":                          "japanese",
		"水漏れ":                         "japanese",
		"火":                           "",
		"kalt kalt KALT":              "heat",
		"z":                           "heat",
		"lift AND steht":              "",
		"nothing":                     "",
		strings.Repeat("lift ", 50):   "lift",
		"heat; DROP TABLE tickets":    "",
		"a b c d e f g h i j k l m n": "",
	} {
		if got := found(t, store, text); got != want {
			t.Errorf("%q finds %q, want %q", text, got, want)
		}
	}
	filter := ticket.Filter{Text: "hauptstr", UpdatedAfter: At(3), Unassigned: true}
	if got := listAll(t, store, filter, orders[1], 1); len(got) != 2 || got[0].ID != "street" || got[1].ID != "lift" {
		t.Errorf("with other conditions: %+v", got)
	}
}

func testChangedText(t *testing.T, env Env) {
	store := mustOpen(t, env)
	mustRecord(t, store, described("e1", "t1", 1, "old title", "same"), described("e2", "t2", 2, "old title", "same"))
	wantFound := func(text, want string) {
		t.Helper()
		if got := found(t, store, text); got != want {
			t.Errorf("%q finds %q, want %q", text, got, want)
		}
	}
	wantFound("old same", "t1 t2")
	mustRecord(t, store, titled("e3", "t1", 3, "new title"))
	wantFound("old", "t2")
	wantFound("new", "t1")
	wantFound("title same", "t2 t1")
	// A late event that is older changes nothing.
	mustRecord(t, store, described("e4", "t1", 0, "late", "late"))
	wantFound("late", "")
	// Another field changes, and the description is cleared.
	mustRecord(t, store, ticket.Change{EventID: "e5", Name: ticket.Updated, TicketID: "t2", OccurTime: At(4), Fields: Named("status_text"),
		Values: ticket.Ticket{StatusText: "closed"}})
	wantFound("old same", "t2")
	mustRecord(t, store, ticket.Change{EventID: "e6", Name: ticket.Updated, TicketID: "t2", OccurTime: At(5), Fields: Named("description")})
	wantFound("same", "t1")
	wantFound("old", "t2")
	// The last of several changes in one batch counts.
	mustRecord(t, store, titled("e7", "t2", 6, "between"), titled("e8", "t2", 7, "last"), described("e9", "t3", 8, "three", ""),
		titled("e10", "t3", 9, "drei"))
	wantFound("between", "")
	wantFound("three", "")
	wantFound("last", "t2")
	wantFound("drei", "t3")
	mustErase(t, store, "t1")
	if stats := mustStats(t, store, ticket.Filter{Text: "new"}); stats.Total != 0 {
		t.Errorf("%d erased tickets have a word", stats.Total)
	}
	wantFound("new", "")
	wantFound("same", "")
	mustErase(t, store, "unknown")
	mustRecord(t, store, described("e11", "t4", 10, "behind the erased one", ""))
	wantFound("behind", "t4")
}

// testTextUnderChanges gives each ticket one title after another. The titles have few words, so that each word is often removed from a
// ticket and often added to one, sometimes several times in a batch.
func testTextUnderChanges(t *testing.T, env Env) {
	store := mustOpen(t, env)
	random := rand.New(rand.NewPCG(3, 4))
	titles := []string{"", "Lift steht", "Tür am Lift klemmt", "Tür"}
	latest := map[string]ticket.Ticket{}
	events := 0
	for round := range 400 {
		changes := make([]ticket.Change, 1+random.IntN(4))
		for i := range changes {
			events++
			changes[i] = titled(fmt.Sprintf("e%d", events), fmt.Sprintf("t%d", random.IntN(240)), int64(events), titles[random.IntN(len(titles))])
			latest[changes[i].TicketID] = changes[i].Values
		}
		mustRecord(t, store, changes...)
		if round%20 != 0 {
			continue
		}
		for _, text := range []string{"lift", "lift tur", "steh", "klemmt am"} {
			filter, want := ticket.Filter{Text: text}, int64(0)
			for _, one := range latest {
				if filter.Matches(&one) {
					want++
				}
			}
			if got := mustStats(t, store, filter).Total; got != want {
				t.Fatalf("after %d events %q finds %d tickets, want %d", events, text, got, want)
			}
		}
	}
}

// NastyTexts are texts that can have another meaning to a database.
var NastyTexts = []string{
	`"`, `""`, `'`, `''`, `\`, `a"b`, `a'b`, `a\b`, `a" OR "b`, `'a' | 'b'`, `a & b`, `a | b`, `!a`, `a:*`, `a*`, `*`, `a <-> b`,
	`a -b`, `-a`, `^a`, `{a}`, `words:a`, `ticket_words:a`, `- words : a`, `a + b`, "AND", "OR", "NOT", "NEAR", "NEAR(a b)",
	"NEAR(a b, 1)", "a AND b", "a NOT b", "(a", "a)", "()", "%", "_", "a%", "a_b", "a\x00b", "\x00", "\x01a", "a\tb\r\nc", "\u202ea",
	"\ufeffa", "\U0010ffff", "a\u0301\u0302\u0303", "\u0301", "é", "ｅ́", "İ", "ı", "ß", "ẞ", "ſ", "ﬃ", "ǆ", "ΐ", "ᾳ", "\ufdfa", "🥶",
	"👩\u200d🔧", "1️⃣", "½", "²", "Ⅷ", "٣", "שָׁלוֹם", "مُحَمَّد", "हिन्दी", "ไทย", "한글", "水", "゛", "か\u3099", "Ꭰ",
	"\u302e\u0941\U0001d165", "\u2028", "null", "NULL", "$1", "?", ":a", "@a", "0x1f", "1e9", "-1", "1.5", "a;b", "--a", "/*a*/",
	"`a`", "[a]", "<a>", "a\u00adb", "a\u200bb",
}

func testNastyTexts(t *testing.T, env Env) {
	store := mustOpen(t, env)
	var changes []ticket.Change
	var all []ticket.Ticket
	for i, text := range NastyTexts {
		c := described(fmt.Sprintf("e%d", i), fmt.Sprintf("t%03d", i), int64(i), text, NastyTexts[(i*7+3)%len(NastyTexts)]+" "+text+"x")
		changes = append(changes, c)
		all = append(all, merged(c))
	}
	mustRecord(t, store, changes...)
	wantAsMatches(t, store, all, NastyTexts...)
}

// testLargeTexts has tickets with longer texts and longer words than are indexed.
func testLargeTexts(t *testing.T, env Env) {
	store := mustOpen(t, env)
	random := rand.New(rand.NewPCG(5, 6))
	different := strings.Map(func(rune) rune {
		if random.IntN(4) == 0 {
			return ' '
		}
		return rune(0x400 + random.IntN(0x100))
	}, strings.Repeat(" ", 1<<17))
	var changes []ticket.Change
	var all []ticket.Ticket
	for i, text := range []string{different, strings.Repeat("\ufdfa", 1<<15), strings.Repeat("x", 1<<17), strings.Repeat("é", 1<<16)} {
		c := described(fmt.Sprintf("e%d", i), fmt.Sprintf("t%d", i), int64(i), text, text)
		changes = append(changes, c)
		all = append(all, merged(c))
	}
	mustRecord(t, store, changes...)
	wantAsMatches(t, store, all, different[:40], different[50_000:50_040], different[70_000:70_040], "\ufdfa",
		strings.Repeat("x", 70), strings.Repeat("x", 63)+"y",
		strings.Repeat("é", 32))
}

// wantAsMatches checks that each text which a filter may have finds those of the store's tickets that the filter matches. all are the
// store's tickets.
func wantAsMatches(t *testing.T, store ticket.Store, all []ticket.Ticket, texts ...string) {
	t.Helper()
	for _, text := range texts {
		filter := ticket.Filter{Text: text}
		var violations ticket.Violations
		if filter.Check("filter", &violations); len(violations) > 0 {
			continue
		}
		for _, filter := range []ticket.Filter{filter, filter.Normal()} {
			want := slices.DeleteFunc(slices.Clone(all), func(one ticket.Ticket) bool { return !filter.Matches(&one) })
			if diff := cmp.Diff(ids(want), ids(listAll(t, store, filter, orders[0], 50))); diff != "" {
				t.Errorf("%q: %s", text, diff)
			}
			if diff := cmp.Diff(counted(all, filter), mustStats(t, store, filter)); diff != "" {
				t.Errorf("stats of %q: %s", text, diff)
			}
			page, err := store.ReadSnapshot(t.Context(), filter, "", entries(1000))
			slices.SortFunc(want, func(a, b ticket.Ticket) int { return strings.Compare(a.ID, b.ID) })
			if diff := cmp.Diff(ids(want), ids(page.Tickets)); err != nil || page.Last != "" || diff != "" {
				t.Errorf("a snapshot by %q up to %q, %v: %s", text, page.Last, err, diff)
			}
		}
	}
}

func ids(tickets []ticket.Ticket) []string {
	ids := make([]string, len(tickets))
	for i := range tickets {
		ids[i] = tickets[i].ID
	}
	return ids
}

// testTextPages lists the tickets that texts find, in a store with more tickets than a scan reads. Many tickets have the words, or few, or
// only the last ones of the list. Many have the same time, so that pages end between them.
func testTextPages(t *testing.T, env Env) {
	store := mustOpen(t, env)
	const tickets = 6000
	var changes []ticket.Change
	var all []ticket.Ticket
	for i := range tickets {
		words := []string{"all"}
		for _, n := range []int{2, 30, 500} {
			if i*7919%n == 0 {
				words = append(words, fmt.Sprintf("every%d", n))
			}
		}
		if i < tickets/4 {
			words = append(words, "oldest")
		} else if i >= tickets*3/4 {
			words = append(words, "newest")
		}
		c := described(fmt.Sprintf("e%d", i), fmt.Sprintf("t%04d", i*7919%tickets), int64(i/2500), strings.Join(words, " "), "")
		c.Fields, c.Values.PropertyID = Named("title", "property_id"), fmt.Sprintf("p%d", i%3)
		changes = append(changes, c)
		all = append(all, merged(c))
	}
	for batch := range slices.Chunk(changes, 500) {
		mustRecord(t, store, batch...)
	}
	for _, filter := range []ticket.Filter{
		{Text: "all"}, {Text: "every2 a"}, {Text: "every30"}, {Text: "every500"}, {Text: "oldest"}, {Text: "newest"}, {Text: "newest every2"},
		{Text: "oldest newest"}, {Text: "every30", PropertyIDs: []string{"p1"}}, {Text: "oldest", PropertyIDs: []string{"p1", "p2"}},
		{Text: "every2", UpdatedAfter: At(1), UpdatedBefore: At(2)},
	} {
		if diff := cmp.Diff(counted(all, filter), mustStats(t, store, filter)); diff != "" {
			t.Errorf("stats by %+v: %s", filter, diff)
		}
		for _, order := range orders {
			want := slices.DeleteFunc(slices.Clone(all), func(one ticket.Ticket) bool { return !filter.Matches(&one) })
			slices.SortFunc(want, func(a, b ticket.Ticket) int { return order.Compare(order.Cursor(&a), order.Cursor(&b)) })
			if diff := cmp.Diff(ids(want), ids(listAll(t, store, filter, order, 230))); diff != "" {
				t.Errorf("filter %+v, order %+v: %s", filter, order, diff)
			}
		}
	}
}

// FormerWordsVersion is the [ticket.WordsVersion] of the rules that did not transliterate letters such as ł.
const FormerWordsVersion = "1, Unicode 15.0.0, normal forms of 15.0.0"

// testWordsOfOtherRules has more tickets than are indexed in one transaction. One of them has a word that differs by the former rules.
func testWordsOfOtherRules(t *testing.T, env Env) {
	const tickets, wrong = 1100, "wrong"
	store := env.Open(t)
	changes := make([]ticket.Change, tickets)
	for i := range changes {
		changes[i] = titled(fmt.Sprintf("e%d", i), fmt.Sprintf("t%04d", i), int64(i), fmt.Sprintf("common word%d", i))
	}
	changes[9].Values.Title = "common Łódź"
	mustRecord(t, store, changes...)
	mustErase(t, store, "t0008")
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	env.CorruptWords(t, wrong)

	store = env.Open(t)
	check := func(counts map[string]int64) {
		t.Helper()
		for text, want := range counts {
			filter := ticket.Filter{Text: text}
			if got := len(listAll(t, store, filter, orders[0], 500)); int64(got) != want {
				t.Errorf("the text %q finds %d tickets, want %d", text, got, want)
			}
			if got := mustStats(t, store, filter).Total; got != want {
				t.Errorf("the stats of the text %q count %d tickets, want %d", text, got, want)
			}
		}
	}
	check(map[string]int64{wrong: 0, "common": tickets - 1, "lodz": 1, "Łódź": 1, "word7": 111, "word8": 110, "word1099": 1})
	mustRecord(t, store, titled("later", "t0007", tickets, "changed"), titled("new", "new", 1, "common"))
	mustErase(t, store, "t1099")
	// The index is complete, so it is not filled again.
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	store = mustOpen(t, env)
	check(map[string]int64{wrong: 0, "common": tickets - 2, "word7": 110, "word8": 110, "word1099": 0, "changed": 1})
}
