package ticket

import "cmp"

// EventName is an event's kind, in the provider's word.
type EventName string

const (
	// Created is the event of a ticket that was opened.
	Created EventName = "ticket.created"
	// Updated is the event of a ticket whose fields changed.
	Updated EventName = "ticket.updated"
	// Erased is not an event of the provider: it is the log entry of an erasure, and has no event id.
	Erased EventName = "ticket.erased"
)

// Version orders events. Two events never have an equal version.
type Version struct {
	// Time is when the event occurred.
	Time Instant
	// UpdateTime is the update time of the ticket that the event gave. Unset, if the event gave none, is before any other.
	UpdateTime Instant
	EventID    string
}

// Compare returns -1 if v is earlier than w, 0 if they are the same, and 1 if v is later. The zero version is earlier than any other.
func (v Version) Compare(w Version) int {
	if byTime := v.Time.Compare(w.Time); byTime != 0 {
		return byTime
	}
	return cmp.Or(v.UpdateTime.Compare(w.UpdateTime), cmp.Compare(v.EventID, w.EventID))
}

// Change is what an event changes in its ticket.
type Change struct {
	EventID  string
	Name     EventName
	TicketID string
	// OccurTime is when the event occurred at Allthings. Always set.
	OccurTime Instant
	// ReceiveTime is when the gateway received the event. Unset if unknown.
	ReceiveTime Instant
	// FullSnapshot is set if an update has the whole ticket.
	FullSnapshot bool
	// Fields are the fields that the event named.
	Fields FieldSet
	// ElementChanges are the named lists whose new value is not known, because the event reports only which elements were removed or added.
	ElementChanges FieldSet
	// VersionWithoutUpdateTime reports that an earlier version of this service recorded the event, which ordered events by time and id alone.
	VersionWithoutUpdateTime bool
	// Values holds valid UTF-8, as messages of the contract do: the values of the named fields except ElementChanges, and the attributes that
	// the event named. Its other fields are zero. A state that the change was merged into shares its lists: they must not be modified
	// afterwards.
	Values Ticket
}

// Version returns the version of the event, which orders events.
func (c *Change) Version() Version {
	v := Version{Time: c.OccurTime, EventID: c.EventID}
	if !c.VersionWithoutUpdateTime {
		v.UpdateTime = c.Values.UpdateTime
	}
	return v
}

// size returns the approximate size of the change in bytes.
func (c *Change) size() int { return c.Values.weight().Bytes }

// CheckIDs adds a violation for each id in the event that is not valid by the rule of package id. An empty id is valid.
func (c *Change) CheckIDs(v *Violations) {
	v.checkNewID("event.event_id", c.EventID)
	v.checkNewID("ticket.ticket_id", c.TicketID)
	for f := range c.Fields.All() {
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

// ChangedFields returns the registers that the event named.
func (c *Change) ChangedFields() ChangedFields {
	return ChangedFields{Fields: c.Fields, ElementChanges: c.ElementChanges, VersionHasUpdateTime: c.Version().UpdateTime.Set,
		AttributeKeys: sortedKeys(c.Values.Attributes)}
}

// Only returns a ticket with the named fields of t only. It shares t's lists.
func (t *Ticket) Only(named FieldSet) Ticket {
	var only Ticket
	for f := range named.All() {
		f.copy(&only, t)
	}
	return only
}

// ChangedFields are the registers that an event named.
type ChangedFields struct {
	// Fields are the fields.
	Fields FieldSet
	// ElementChanges are the fields whose new value is not known.
	ElementChanges FieldSet
	// VersionHasUpdateTime reports that the event's [Version] has an update time.
	VersionHasUpdateTime bool
	// AttributeKeys are the keys of the attributes, in order.
	AttributeKeys []string
}

// FieldNames returns the names of the fields in the contract, in the order of the contract. [AttributesName] stands for all attributes
// together.
func (c ChangedFields) FieldNames() []string {
	var names []string
	for f := range c.Fields.All() {
		names = append(names, f.String())
	}
	if len(c.AttributeKeys) > 0 {
		names = append(names, AttributesName)
	}
	return names
}
