package ticket

// Record is a ticket together with what it takes to merge further events into it.
//
// Records that took the same changes are equal, whatever the order: the same ticket, the same versions.
type Record struct {
	// Ticket is the ticket as it is to be shown.
	Ticket Ticket
	// Versions says which event each register's value comes from.
	Versions Versions
}

// Versions says which event each register of a ticket had its value from.
type Versions struct {
	// Latest is the latest of all events recorded for the ticket, whether or not any register has its value from it.
	Latest Version
	// Fields holds the version of each field: zero for one that no event has named.
	Fields [fieldCount]Version
	// Attributes holds the version of each attribute. That of a modelled field's exact text is here only when an event named the
	// attribute later than any named the field: otherwise it is the field's.
	Attributes map[string]Version
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
	version := c.Version()
	r.Ticket.Revision++
	r.Ticket.Complete = r.Ticket.Complete || c.Name == Created || c.FullSnapshot
	if version.Compare(r.Versions.Latest) > 0 {
		r.Versions.Latest = version
	}
	for key, text := range c.Values.Attributes {
		if version.Compare(r.attributeVersion(key)) > 0 {
			r.setAttribute(key, text, version)
		}
	}
	for f := range c.Named.All() {
		r.applyField(f, c, version)
	}
	r.derive()
}

func (r *Record) applyField(f Field, c *Change, version Version) {
	if version.Compare(r.Versions.Fields[f]) <= 0 {
		return
	}
	if f == updateTimeField {
		r.Versions.ProviderUpdateTime = c.Values.UpdateTime
	} else {
		f.copy(&r.Ticket, &c.Values)
	}
	r.Versions.Fields[f] = version
	r.dropOlderText(f, c, version)
}

// dropOlderText lets an attribute that holds a field's exact text fall with its field: an event that names the field without that
// attribute says that there is no such text any more.
func (r *Record) dropOlderText(f Field, c *Change, version Version) {
	key := fields[f].provider
	if key == "" || r.Versions.Attributes[key].Compare(version) > 0 {
		return
	}
	delete(r.Versions.Attributes, key)
	if len(r.Versions.Attributes) == 0 {
		r.Versions.Attributes = nil
	}
	if _, named := c.Values.Attributes[key]; named {
		return
	}
	delete(r.Ticket.Attributes, key)
	if len(r.Ticket.Attributes) == 0 {
		r.Ticket.Attributes = nil
	}
}

func (r *Record) setAttribute(key, text string, version Version) {
	if r.Ticket.Attributes == nil {
		r.Ticket.Attributes = map[string]string{}
	}
	if r.Versions.Attributes == nil {
		r.Versions.Attributes = map[string]Version{}
	}
	r.Ticket.Attributes[key] = text
	r.Versions.Attributes[key] = version
}

// attributeVersion returns the version of the attribute's register. An attribute that bears a modelled field's name at the provider belongs
// to that field: it is as new as the later of both.
func (r *Record) attributeVersion(key string) Version {
	version := r.Versions.Attributes[key]
	if f, ok := fieldsByProvider[key]; ok && r.Versions.Fields[f].Compare(version) > 0 {
		return r.Versions.Fields[f]
	}
	return version
}

// derive works out the fields that follow from others.
func (r *Record) derive() {
	r.Ticket.Status = ParseStatus(r.Ticket.StatusText)
	// The provider's date stands where the latest event named it. Otherwise something changed that the date does not know of.
	update := r.Versions.ProviderUpdateTime
	datedByLatest := update.Set && r.Versions.Fields[updateTimeField] == r.Versions.Latest
	if latest := r.Versions.Latest.Time; !datedByLatest && latest.Compare(update) > 0 {
		update = latest
	}
	r.Ticket.UpdateTime = update
}
