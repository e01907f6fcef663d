package ticket

import "maps"

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
	// Attributes holds the version of each attribute. An attribute that belongs to a field is here only if its version is later than the
	// field's: otherwise it has the field's version.
	Attributes map[string]Version
	// ElementChanges are the lists whose current value is not known, because their event reports only which elements were removed or added.
	ElementChanges FieldSet
	// Whole reports whether the ticket's creation, or a snapshot of the whole ticket, is recorded.
	Whole bool
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
	r.Versions.Whole = r.Versions.Whole || c.Name == Created || c.FullSnapshot
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

// TryApply merges a change into the record, unless that makes the ticket larger than one may be. The error is [ErrFull]; the record is as
// before then. A ticket that older versions let grow takes changes that do not make it larger still.
//
// So which events are recorded for a ticket that becomes too large depends on their order. What the recorded ones make does not.
func (r *Record) TryApply(c *Change) error {
	with := *r
	with.Ticket.Attributes, with.Versions.Attributes = maps.Clone(r.Ticket.Attributes), maps.Clone(r.Versions.Attributes)
	with.Apply(c)
	if weight := with.Ticket.weight(); !weight.fits() && !weight.within(r.Ticket.weight()) {
		return ErrFull
	}
	*r = with
	return nil
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
	if c.ElementChanges.Has(f) {
		r.Versions.ElementChanges = r.Versions.ElementChanges.With(f)
	} else {
		r.Versions.ElementChanges = r.Versions.ElementChanges.Without(f)
	}
	r.settleAttribute(f)
}

// SettleAttributes applies the rule of [Versions.Attributes] to a record from before some attributes belonged to their fields.
func (r *Record) SettleAttributes() {
	for f := range Field(fieldCount) {
		if _, ok := r.Versions.Attributes[fields[f].attribute]; ok {
			r.settleAttribute(f)
		}
	}
}

// settleAttribute compares a field with the attribute that belongs to it. An earlier attribute is removed: the event that named the field
// without the attribute says that there is no such text any more.
func (r *Record) settleAttribute(f Field) {
	key := fields[f].attribute
	if key == "" {
		return
	}
	order := r.Versions.Attributes[key].Compare(r.Versions.Fields[f])
	if order > 0 {
		return
	}
	delete(r.Versions.Attributes, key)
	if len(r.Versions.Attributes) == 0 {
		r.Versions.Attributes = nil
	}
	if order == 0 {
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

// attributeVersion returns the version of the attribute's register. If the attribute belongs to a field, that is the later version of both.
func (r *Record) attributeVersion(key string) Version {
	version := r.Versions.Attributes[key]
	if f, ok := fieldsByAttribute[key]; ok && r.Versions.Fields[f].Compare(version) > 0 {
		return r.Versions.Fields[f]
	}
	return version
}

// derive works out the fields that follow from others.
func (r *Record) derive() {
	r.Ticket.Status = ParseStatus(r.Ticket.StatusText)
	r.Ticket.Complete = r.Versions.Whole && r.Versions.ElementChanges == 0
	// The provider's date stands where the latest event named it. Otherwise something changed that the date does not know of.
	update := r.Versions.ProviderUpdateTime
	datedByLatest := update.Set && r.Versions.Fields[updateTimeField] == r.Versions.Latest
	if latest := r.Versions.Latest.Time; !datedByLatest && latest.Compare(update) > 0 {
		update = latest
	}
	r.Ticket.UpdateTime = update
}
