package tickettest

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"pgregory.net/rapid"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// At returns a moment in 2026, plus this number of seconds.
func At(seconds int64) ticket.Instant {
	return ticket.Instant{Set: true, Seconds: 1_780_000_000 + seconds}
}

// Named returns the set of the fields with these names in the contract.
func Named(names ...string) ticket.FieldSet {
	var set ticket.FieldSet
	for _, name := range names {
		f, ok := ticket.ParseField(name)
		if !ok {
			panic("no such field: " + name)
		}
		set = set.With(f)
	}
	return set
}

var (
	titleField, _      = ticket.ParseField("title")
	labelsField, _     = ticket.ParseField("label_ids")
	updateTimeField, _ = ticket.ParseField("update_time")
)

// texts are values of fields: none, plain values, and one with special characters.
var texts = []string{"", "a", "b", "closed", "waiting-for-agent", "\x00 é🥶\u2028"}

// attributeKeys are plain keys, and keys that belong to a field.
var attributeKeys = []string{"sortHash", "_embedded.group", "_embedded.unit", "createdBy", "title", "status", "labels", "commentCount"}

// Changes draws events of one ticket. They have few times and few update times, so that many are equal. Fields are set, cleared, absent, or
// of another type, so that only the attribute has the value. There are element changes of lists, attributes alone, attributes that belong
// to a field, creations and snapshots. No two events have the same id.
func Changes(t *rapid.T, ticketID string) []ticket.Change {
	changes := make([]ticket.Change, rapid.IntRange(1, 7).Draw(t, "events"))
	for i := range changes {
		c := ticket.Change{
			EventID:     fmt.Sprintf("event-%d", (i*5)%7),
			Name:        rapid.SampledFrom([]ticket.EventName{ticket.Updated, ticket.Created}).Draw(t, "name"),
			TicketID:    ticketID,
			OccurTime:   At(rapid.Int64Range(1, 3).Draw(t, "time")),
			ReceiveTime: At(10),
		}
		c.FullSnapshot = c.Name == ticket.Updated && rapid.Bool().Draw(t, "snapshot")
		// A bit mask is one draw instead of twenty. Small numbers are more likely, and the update time has a high bit.
		mask := rapid.Uint32().Draw(t, "fields")
		if rapid.Bool().Draw(t, "with an update time") {
			mask |= 1 << updateTimeField
		}
		value := rapid.SampledFrom(texts)
		changed := rapid.Uint32().Draw(t, "element changes")
		for f := range ticket.Fields() {
			if mask&(1<<f) == 0 {
				continue
			}
			c.Fields = c.Fields.With(f)
			if f.IsList() && changed&(1<<f) != 0 {
				c.ElementChanges = c.ElementChanges.With(f)
			} else {
				setValue(&c.Values, f, value.Draw(t, f.String()))
			}
		}
		for _, key := range attributeKeys {
			if rapid.IntRange(0, 2).Draw(t, key) == 0 {
				if c.Values.Attributes == nil {
					c.Values.Attributes = map[string]string{}
				}
				c.Values.Attributes[key] = value.Draw(t, "text")
			}
		}
		changes[i] = c
	}
	return changes
}

// varied gives most changes one of a few update times. Some changes also get a title of another type, or an element change of the labels.
func varied(random *rand.Rand, c *ticket.Change) {
	if random.IntN(3) > 0 {
		c.Fields = c.Fields.With(updateTimeField)
		c.Values.UpdateTime = At(int64(random.IntN(3)))
	}
	switch random.IntN(4) {
	case 0:
		c.Fields = c.Fields.With(titleField)
		c.Values.Title, c.Values.Attributes = "", map[string]string{"title": "[" + c.EventID + "]"}
	case 1:
		c.Fields, c.ElementChanges = c.Fields.With(labelsField), c.ElementChanges.With(labelsField)
		c.Values.LabelIDs, c.Values.Attributes = nil, map[string]string{"labels": `{"added":["` + c.EventID + `"]}`}
	}
}

// setValue sets a field of any type to the value that belongs to text. An empty text is no value.
func setValue(t *ticket.Ticket, f ticket.Field, text string) {
	number := int64(slices.Index(texts, text))
	switch target := f.Ref(t).(type) {
	case *string:
		*target = text
	case *[]string:
		if text != "" {
			*target = []string{text, "", text}
		}
	case *[]ticket.CustomSetting:
		if text != "" {
			*target = []ticket.CustomSetting{
				{Key: text, Kind: ticket.TextValue},
				{Type: text, Kind: ticket.JSONValue, Value: text, Attributes: map[string]string{text: text, "": ""}},
			}
		}
	case *int32:
		*target = int32(-number)
	case *ticket.Instant:
		if text != "" {
			*target = At(number)
		}
	default:
		panic(fmt.Sprintf("field %s has type %T, which no value is made up for", f, target))
	}
}
