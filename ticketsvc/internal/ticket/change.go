package ticket

import "cmp"

// EventName is an event's kind, in the provider's word.
type EventName string

const (
	// Created: a ticket was opened.
	Created EventName = "ticket.created"
	// Updated: fields of a ticket changed.
	Updated EventName = "ticket.updated"
	// Erased is no event of the provider's: it stands at the place of the log where a ticket was erased, without an event id.
	Erased EventName = "ticket.erased"
)

// Version orders events. Two events never have an equal version.
type Version struct {
	// Time is when the event occurred.
	Time Instant
	// UpdateTime is the ticket's update time as the event itself gives it. None where the event gives none, which comes before any other.
	UpdateTime Instant
	EventID    string
}

// Compare returns -1, 0 or 1 as v is earlier than, the same as or later than w. The zero version is earlier than that of any event.
func (v Version) Compare(w Version) int {
	if byTime := v.Time.Compare(w.Time); byTime != 0 {
		return byTime
	}
	return cmp.Or(v.UpdateTime.Compare(w.UpdateTime), cmp.Compare(v.EventID, w.EventID))
}

// Change is what an event says of its ticket.
type Change struct {
	EventID  string
	Name     EventName
	TicketID string
	// OccurTime is when the event occurred at Allthings. Always set.
	OccurTime Instant
	// ReceiveTime is when the gateway received the event. None when it didn't say.
	ReceiveTime Instant
	// FullSnapshot tells whether an update carried the whole ticket.
	FullSnapshot bool
	// Named are the fields that the event named.
	Named FieldSet
	// ElementChanges are the named lists whose new value is not known, because the event reports only which elements were removed or added.
	ElementChanges FieldSet
	// VersionWithoutUpdateTime reports that an earlier version of this service recorded the event, which ordered events by time and id alone.
	VersionWithoutUpdateTime bool
	// Values holds the values of the named fields except those of ElementChanges, and the attributes that the event named. Its other fields
	// are zero. A record that took the change shares its lists: they are not to be changed afterwards.
	Values Ticket
}

// Version returns the event's place in the order of all events.
func (c *Change) Version() Version {
	v := Version{Time: c.OccurTime, EventID: c.EventID}
	if !c.VersionWithoutUpdateTime {
		v.UpdateTime = c.Values.UpdateTime
	}
	return v
}

// size returns about how many bytes the change has.
func (c *Change) size() int { return c.Values.weight().Bytes }

// CheckIDs notes which ids in the event are none, by the rule of package id. An empty one passes.
func (c *Change) CheckIDs(v *Violations) {
	v.checkNewID("event.event_id", c.EventID)
	v.checkNewID("ticket.ticket_id", c.TicketID)
	for f := range c.Named.All() {
		if !fields[f].holdsIDs {
			continue
		}
		switch value := f.Ref(&c.Values).(type) {
		case *string:
			v.checkNewID("ticket."+f.String(), *value)
		case *[]string:
			for _, id := range *value {
				v.checkNewID("ticket."+f.String(), id)
			}
		}
	}
}

// Content returns what the event named, without the values.
func (c *Change) Content() Content {
	return Content{Named: c.Named, ElementChanges: c.ElementChanges, VersionHasUpdateTime: c.Version().UpdateTime.Set,
		AttributeKeys: sortedKeys(c.Values.Attributes)}
}

// Only returns a ticket with nothing but the named fields of t. Lists are shared.
func (t *Ticket) Only(named FieldSet) Ticket {
	var only Ticket
	for f := range named.All() {
		f.copy(&only, t)
	}
	return only
}

// Content says which registers an event named.
type Content struct {
	// Named are the fields.
	Named FieldSet
	// ElementChanges are those of the fields whose new value is not known.
	ElementChanges FieldSet
	// VersionHasUpdateTime reports that the event's [Version] has an update time.
	VersionHasUpdateTime bool
	// AttributeKeys are the keys of the attributes, in order.
	AttributeKeys []string
}

// FieldNames returns the contract's names of what the event named, in the order of the contract; [AttributesName] stands for any
// number of attributes.
func (c Content) FieldNames() []string {
	var names []string
	for f := range c.Named.All() {
		names = append(names, f.String())
	}
	if len(c.AttributeKeys) > 0 {
		names = append(names, AttributesName)
	}
	return names
}
