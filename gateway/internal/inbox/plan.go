package inbox

import "slices"

// Plan is what a database must change to store a batch of incoming deliveries. Each delivery and each key is in it at most once.
type Plan struct {
	// Actions are the actions for the incoming deliveries, by [Decide]. Each decision takes the deliveries before it into account.
	Actions []Action
	// Deletions are the ids of existing deliveries to delete: their body was set aside before, and now has its event's key. They must be done
	// first, because an insertion may have the key of one.
	Deletions []int64
	// Replacements are the existing deliveries to replace.
	Replacements []Replacement
	// Insertions are the new deliveries.
	Insertions []Insertion
}

// Replacement replaces an existing delivery by an incoming delivery. The id and the key stay. Everything else is the incoming delivery's.
type Replacement struct {
	// ID is the id of the existing delivery.
	ID int64
	// Incoming is the delivery that replaces it.
	Incoming *Incoming
}

// Insertion is a new delivery.
type Insertion struct {
	// Key is the key of the new delivery.
	Key Key
	// Incoming is the delivery to store. If it is set aside, it has the reason.
	Incoming *Incoming
}

// Keys returns the keys of incoming deliveries, each once: the keys to look up first for a plan.
func Keys(incoming []Incoming) []Key {
	keys := make([]Key, len(incoming))
	for i := range incoming {
		keys[i] = incoming[i].Key()
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// ConflictKeys returns the keys of bodies that a plan also depends on, each once. existing are the deliveries under [Keys]. There are no
// such keys if each incoming delivery is a new event, or an event that exists with the same body and is not rejected.
func ConflictKeys(incoming []Incoming, existing map[Key]Existing) []Key {
	var keys []Key
	seen := make(map[Key]bool, len(incoming))
	for i := range incoming {
		in := &incoming[i]
		key := in.Key()
		e, exists := existing[key]
		if seen[key] || exists && (e.State == Rejected || e.BodyHash != in.BodyHash) {
			keys = append(keys, in.BodyKey())
		}
		seen[key] = true
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// NewPlan returns the plan for incoming deliveries. existing are the deliveries under [Keys] and [ConflictKeys]. The plan is valid as long
// as none of these changes.
func NewPlan(incoming []Incoming, existing map[Key]Existing) Plan {
	p := planner{slots: make(map[Key]*slot, len(incoming)), changed: make([]*slot, 0, len(incoming))}
	for key, e := range existing {
		p.slots[key] = &slot{key: key, existing: e, isStored: true}
	}
	plan := Plan{Actions: make([]Action, len(incoming)), Insertions: make([]Insertion, 0, len(incoming))}
	for i := range incoming {
		plan.Actions[i] = p.add(&incoming[i])
	}
	for _, s := range p.changed {
		switch {
		case s.isStored && s.isDropped:
			plan.Deletions = append(plan.Deletions, s.existing.ID)
		case s.isStored:
			plan.Replacements = append(plan.Replacements, Replacement{ID: s.existing.ID, Incoming: s.incoming})
		case !s.isDropped:
			plan.Insertions = append(plan.Insertions, Insertion{Key: s.key, Incoming: s.incoming})
		}
	}
	return plan
}

// planner applies incoming deliveries one after another to an image of the database.
type planner struct {
	// slots has a slot for each key that is in use.
	slots map[Key]*slot
	// changed are the slots that differ from the database, in the order of their first change.
	changed []*slot
}

// slot is a delivery as it will be after the plan.
type slot struct {
	key Key
	// existing is the delivery for the decisions that follow. Its ID is set if isStored is.
	existing Existing
	// isStored is set if the database has the delivery before the plan.
	isStored bool
	// incoming is what is to be written. Nil if the delivery is unchanged.
	incoming  *Incoming
	isDropped bool
}

func (p *planner) add(in *Incoming) Action {
	taken := p.slots[in.Key()]
	action := Decide(taken.asExisting(), p.slots[in.BodyKey()].asExisting(), in)
	switch action {
	case Insert:
		p.insert(in.Key(), in)
	case Replace:
		p.dropConflict(in)
		if taken.isStored {
			p.changed = append(p.changed, taken)
		}
		taken.write(in)
	case Conflict:
		p.insert(in.BodyKey(), asConflict(in))
	}
	return action
}

func (p *planner) insert(key Key, in *Incoming) {
	added := &slot{key: key}
	added.write(in)
	p.slots[key] = added
	p.changed = append(p.changed, added)
}

// dropConflict drops the set-aside delivery with the body of an incoming delivery that gets its event's key. A set-aside delivery that is
// no longer rejected stays: it was retried, and may be being forwarded.
func (p *planner) dropConflict(in *Incoming) {
	conflict := p.slots[in.BodyKey()]
	if conflict == nil || conflict.existing.State != Rejected || conflict.key == in.Key() {
		return
	}
	delete(p.slots, conflict.key)
	conflict.isDropped = true
	if conflict.isStored {
		p.changed = append(p.changed, conflict)
	}
}

// asExisting returns the slot's delivery, or nil if there is no slot.
func (s *slot) asExisting() *Existing {
	if s == nil {
		return nil
	}
	return &s.existing
}

func (s *slot) write(in *Incoming) {
	s.incoming = in
	s.existing.State, s.existing.BodyHash = in.State(), in.BodyHash
}

// asConflict returns the incoming delivery as it is stored if another delivery has its event's key.
func asConflict(in *Incoming) *Incoming {
	if in.RejectReason != "" {
		return in
	}
	conflict := *in
	conflict.RejectReason = ReasonOtherBody
	return &conflict
}
