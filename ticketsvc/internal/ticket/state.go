package ticket

import "maps"

// State is the state of a ticket: the ticket itself, and the versions that are needed to merge further events.
//
// The same changes make equal states, in any order.
type State struct {
	Ticket   Ticket
	Versions Versions
}

// Versions holds the version of each register of a ticket: that of the event which set the register.
type Versions struct {
	// Latest is the latest version of all recorded events of the ticket, even if it set no register.
	Latest Version
	// Fields holds the version of each field. Zero if no event has named the field.
	Fields [fieldCount]Version
	// Attributes holds the version of each attribute. An attribute that belongs to a field is here only if its version is later than the
	// field's: otherwise it has the field's version.
	Attributes map[string]Version
	// ElementChanges are the lists whose current value is not known, because their event reports only which elements were removed or added.
	ElementChanges FieldSet
	// Whole reports whether the ticket's creation, or a snapshot of the whole ticket, is recorded.
	Whole bool
	// ProviderUpdateTime is the update_time that the events gave. The update time of the ticket can be later.
	ProviderUpdateTime Instant
}

// NewState returns the state of a ticket without events.
func NewState(ticketID string) *State {
	return &State{Ticket: Ticket{ID: ticketID}}
}

// Apply merges a change into the state.
//
// The order of changes makes no difference to the result. Each change must be applied once: the store knows which events are recorded.
func (r *State) Apply(c *Change) {
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
	for f := range c.Fields.All() {
		r.applyField(f, c, version)
	}
	r.derive()
}

// TryApply is like [State.Apply], but returns [ErrTicketTooLarge] and leaves the state as it is if the ticket would become too large. A
// ticket that is already too large, because older versions of the service had no limit, takes changes that do not make it larger.
//
// So the order decides which events of such a ticket are recorded. It makes no difference to what the recorded events make.
func (r *State) TryApply(c *Change) error {
	with := *r
	with.Ticket.Attributes, with.Versions.Attributes = maps.Clone(r.Ticket.Attributes), maps.Clone(r.Versions.Attributes)
	with.Apply(c)
	if weight := with.Ticket.weight(); !weight.fits() && !weight.within(r.Ticket.weight()) {
		return ErrTicketTooLarge
	}
	*r = with
	return nil
}

func (r *State) applyField(f Field, c *Change, version Version) {
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

// SettleAttributes applies the rule of [Versions.Attributes] to a state that was stored before attributes belonged to fields.
func (r *State) SettleAttributes() {
	for f := range Field(fieldCount) {
		if _, ok := r.Versions.Attributes[fields[f].attribute]; ok {
			r.settleAttribute(f)
		}
	}
}

// settleAttribute compares a field with the attribute that belongs to it. An earlier attribute is removed: the event that named the field
// without the attribute says that there is no such text any more.
func (r *State) settleAttribute(f Field) {
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

func (r *State) setAttribute(key, text string, version Version) {
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
func (r *State) attributeVersion(key string) Version {
	version := r.Versions.Attributes[key]
	if f, ok := fieldsByAttribute[key]; ok && r.Versions.Fields[f].Compare(version) > 0 {
		return r.Versions.Fields[f]
	}
	return version
}

// derive computes the fields that follow from others.
func (r *State) derive() {
	r.Ticket.Status = ParseStatus(r.Ticket.StatusText)
	r.Ticket.Complete = r.Versions.Whole && r.Versions.ElementChanges == 0
	// The provider's date counts if the latest event named it. Otherwise something changed after that date.
	update := r.Versions.ProviderUpdateTime
	datedByLatest := update.Set && r.Versions.Fields[updateTimeField] == r.Versions.Latest
	if latest := r.Versions.Latest.Time; !datedByLatest && latest.Compare(update) > 0 {
		update = latest
	}
	r.Ticket.UpdateTime = update
}
