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
func (s *State) Apply(c *Change) {
	version := c.Version()
	s.Ticket.Revision++
	s.Versions.Whole = s.Versions.Whole || c.Name == Created || c.FullSnapshot
	if version.Compare(s.Versions.Latest) > 0 {
		s.Versions.Latest = version
	}
	for key, text := range c.Values.Attributes {
		if version.Compare(s.attributeVersion(key)) > 0 {
			s.setAttribute(key, text, version)
		}
	}
	for f := range c.Fields.All() {
		s.applyField(f, c, version)
	}
	s.derive()
}

// TryApply is like [State.Apply], but returns [ErrTicketTooLarge] and leaves the state as it is if the ticket would become too large. A
// ticket that is already too large, because older versions of the service had no limit, takes changes that do not make it larger.
//
// So the order decides which events of such a ticket are recorded. It makes no difference to what the recorded events make.
func (s *State) TryApply(c *Change) error {
	with := *s
	with.Ticket.Attributes, with.Versions.Attributes = maps.Clone(s.Ticket.Attributes), maps.Clone(s.Versions.Attributes)
	with.Apply(c)
	if weight := with.Ticket.weight(); !weight.fits() && !weight.within(s.Ticket.weight()) {
		return ErrTicketTooLarge
	}
	*s = with
	return nil
}

func (s *State) applyField(f Field, c *Change, version Version) {
	if version.Compare(s.Versions.Fields[f]) <= 0 {
		return
	}
	if f == updateTimeField {
		s.Versions.ProviderUpdateTime = c.Values.UpdateTime
	} else {
		f.copy(&s.Ticket, &c.Values)
	}
	s.Versions.Fields[f] = version
	if c.ElementChanges.Has(f) {
		s.Versions.ElementChanges = s.Versions.ElementChanges.With(f)
	} else {
		s.Versions.ElementChanges = s.Versions.ElementChanges.Without(f)
	}
	s.settleAttribute(f)
}

// SettleAttributes applies the rule of [Versions.Attributes] to a state that was stored before attributes belonged to fields.
func (s *State) SettleAttributes() {
	for f := range Field(fieldCount) {
		if _, ok := s.Versions.Attributes[fields[f].attribute]; ok {
			s.settleAttribute(f)
		}
	}
}

// settleAttribute compares a field with the attribute that belongs to it. An earlier attribute is removed: the event that named the field
// without the attribute says that there is no such text any more.
func (s *State) settleAttribute(f Field) {
	key := fields[f].attribute
	if key == "" {
		return
	}
	order := s.Versions.Attributes[key].Compare(s.Versions.Fields[f])
	if order > 0 {
		return
	}
	delete(s.Versions.Attributes, key)
	if len(s.Versions.Attributes) == 0 {
		s.Versions.Attributes = nil
	}
	if order == 0 {
		return
	}
	delete(s.Ticket.Attributes, key)
	if len(s.Ticket.Attributes) == 0 {
		s.Ticket.Attributes = nil
	}
}

func (s *State) setAttribute(key, text string, version Version) {
	if s.Ticket.Attributes == nil {
		s.Ticket.Attributes = map[string]string{}
	}
	if s.Versions.Attributes == nil {
		s.Versions.Attributes = map[string]Version{}
	}
	s.Ticket.Attributes[key] = text
	s.Versions.Attributes[key] = version
}

// attributeVersion returns the version of the attribute's register. If the attribute belongs to a field, that is the later version of both.
func (s *State) attributeVersion(key string) Version {
	version := s.Versions.Attributes[key]
	if f, ok := fieldsByAttribute[key]; ok && s.Versions.Fields[f].Compare(version) > 0 {
		return s.Versions.Fields[f]
	}
	return version
}

// derive computes the fields that follow from others.
func (s *State) derive() {
	s.Ticket.Status = ParseStatus(s.Ticket.StatusText)
	s.Ticket.Complete = s.Versions.Whole && s.Versions.ElementChanges == 0
	// The provider's date counts if the latest event named it. Otherwise something changed after that date.
	update := s.Versions.ProviderUpdateTime
	datedByLatest := update.Set && s.Versions.Fields[updateTimeField] == s.Versions.Latest
	if latest := s.Versions.Latest.Time; !datedByLatest && latest.Compare(update) > 0 {
		update = latest
	}
	s.Ticket.UpdateTime = update
}
