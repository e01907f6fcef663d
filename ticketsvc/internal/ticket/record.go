package ticket

// Record is a ticket together with what it takes to merge further events into it.
//
// Records that took the same changes are equal, whatever the order: the same ticket, the same stamps.
type Record struct {
	// Ticket is the ticket as it is to be shown.
	Ticket Ticket
	// Stamps says which event each register's value comes from.
	Stamps Stamps
}

// Stamps says which event each register of a ticket had its value from.
type Stamps struct {
	// Latest is the latest of all events recorded for the ticket, whether or not any register has its value from it.
	Latest Stamp
	// Fields holds the stamp of each field: zero for one that no event has named.
	Fields [fieldCount]Stamp
	// Attributes holds the stamp of each attribute. That of a modelled field's exact text is here only when an event named the
	// attribute later than any named the field: otherwise it is the field's.
	Attributes map[string]Stamp
	// ProviderUpdateTime is what the events say of update_time, which the ticket itself may show later.
	ProviderUpdateTime Instant
}

// NewRecord returns the record of a ticket of which no event has come yet.
func NewRecord(ticketID string) *Record {
	return &Record{Ticket: Ticket{ID: ticketID}}
}

// Apply merges a change into the record.
//
// Changes may be applied in any order, and in any grouping, with the same result. Each is to be applied once: it is for the store to
// tell that an event is recorded already.
func (r *Record) Apply(c *Change) {
	stamp := c.Stamp()
	r.Ticket.Revision++
	r.Ticket.Complete = r.Ticket.Complete || c.Name == Created || c.FullSnapshot
	if stamp.Compare(r.Stamps.Latest) > 0 {
		r.Stamps.Latest = stamp
	}
	for key, text := range c.Values.Attributes {
		if stamp.Compare(r.attributeStamp(key)) > 0 {
			r.setAttribute(key, text, stamp)
		}
	}
	for f := range c.Named.All() {
		r.applyField(f, c, stamp)
	}
	r.derive()
}

func (r *Record) applyField(f Field, c *Change, stamp Stamp) {
	if stamp.Compare(r.Stamps.Fields[f]) <= 0 {
		return
	}
	if f == updateTimeField {
		r.Stamps.ProviderUpdateTime = c.Values.UpdateTime
	} else {
		f.copy(&r.Ticket, &c.Values)
	}
	r.Stamps.Fields[f] = stamp
	r.dropOlderText(f, c, stamp)
}

// dropOlderText lets an attribute that holds a field's exact text fall with its field: an event that names the field without that
// attribute says that there is no such text any more.
func (r *Record) dropOlderText(f Field, c *Change, stamp Stamp) {
	key := fields[f].provider
	if key == "" || r.Stamps.Attributes[key].Compare(stamp) > 0 {
		return
	}
	delete(r.Stamps.Attributes, key)
	if len(r.Stamps.Attributes) == 0 {
		r.Stamps.Attributes = nil
	}
	if _, named := c.Values.Attributes[key]; named {
		return
	}
	delete(r.Ticket.Attributes, key)
	if len(r.Ticket.Attributes) == 0 {
		r.Ticket.Attributes = nil
	}
}

func (r *Record) setAttribute(key, text string, stamp Stamp) {
	if r.Ticket.Attributes == nil {
		r.Ticket.Attributes = map[string]string{}
	}
	if r.Stamps.Attributes == nil {
		r.Stamps.Attributes = map[string]Stamp{}
	}
	r.Ticket.Attributes[key] = text
	r.Stamps.Attributes[key] = stamp
}

// attributeStamp returns the stamp of the attribute's register. An attribute that bears a modelled field's name at the provider belongs
// to that field: it is as new as the later of both.
func (r *Record) attributeStamp(key string) Stamp {
	stamp := r.Stamps.Attributes[key]
	if f, ok := fieldsByProvider[key]; ok && r.Stamps.Fields[f].Compare(stamp) > 0 {
		return r.Stamps.Fields[f]
	}
	return stamp
}

// derive works out the fields that follow from others.
func (r *Record) derive() {
	r.Ticket.Status = ParseStatus(r.Ticket.StatusText)
	// The provider's date stands where the latest event named it. Otherwise something changed that the date does not know of.
	update := r.Stamps.ProviderUpdateTime
	datedByLatest := update.Set && r.Stamps.Fields[updateTimeField] == r.Stamps.Latest
	if latest := r.Stamps.Latest.Time; !datedByLatest && latest.Compare(update) > 0 {
		update = latest
	}
	r.Ticket.UpdateTime = update
}
