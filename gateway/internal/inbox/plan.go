package inbox

// Plan is what a database must change to keep a batch of incoming deliveries. Each delivery and each key is in it at most once.
type Plan struct {
	// Actions are the actions for the incoming deliveries, by [Decide]. Each decision takes the incoming deliveries before it into account.
	Actions []Action
	// Deletions are the ids of kept deliveries to delete: their body was set aside before, and now has its event's key. They must be done
	// first, because an insertion may have the key of one.
	Deletions []int64
	// Replacements are the kept deliveries to replace.
	Replacements []Replacement
	// Insertions are the new deliveries.
	Insertions []Insertion
}

// Replacement replaces a kept delivery by an incoming delivery. The id and the key stay. Everything else is the incoming delivery's.
type Replacement struct {
	// ID is the id of the kept delivery.
	ID int64
	// Incoming is the incoming delivery that replaces it.
	Incoming *Incoming
}

// Insertion is a new delivery.
type Insertion struct {
	// Key is the key of the new delivery.
	Key Key
	// Incoming is the delivery to keep. If it is set aside, it has the reason.
	Incoming *Incoming
}

// Keys returns the incoming deliveries' keys, each once: the keys to look up first for a plan.
func Keys(incoming []Incoming) []Key {
	keys := newKeySet(len(incoming))
	for i := range incoming {
		keys.add(incoming[i].Key())
	}
	return keys.keys
}

// ConflictKeys returns the keys of bodies that a plan also depends on, each once. kept are the deliveries under [Keys]. There are none as
// long as all incoming deliveries are new events, or events that are kept already with the same body.
func ConflictKeys(incoming []Incoming, existing map[Key]Existing) []Key {
	seen, conflicts := newKeySet(len(incoming)), newKeySet(0)
	for i := range incoming {
		in := &incoming[i]
		k, isStored := existing[in.Key()]
		if again := !seen.add(in.Key()); again || isStored && (k.State == Rejected || k.BodyHash != in.BodyHash) {
			conflicts.add(in.BodyKey())
		}
	}
	return conflicts.keys
}

// NewPlan returns the plan for incoming deliveries. kept are the deliveries under [Keys] and [ConflictKeys]. The plan is valid as long as
// none of these changes.
func NewPlan(incoming []Incoming, existing map[Key]Existing) Plan {
	p := planner{places: make(map[Key]*place, len(incoming)), changed: make([]*place, 0, len(incoming))}
	for key, k := range existing {
		p.places[key] = &place{key: key, existing: k, isStored: true}
	}
	plan := Plan{Actions: make([]Action, len(incoming)), Insertions: make([]Insertion, 0, len(incoming))}
	for i := range incoming {
		plan.Actions[i] = p.add(&incoming[i])
	}
	for _, c := range p.changed {
		switch {
		case c.isStored && c.dropped:
			plan.Deletions = append(plan.Deletions, c.existing.ID)
		case c.isStored:
			plan.Replacements = append(plan.Replacements, Replacement{ID: c.existing.ID, Incoming: c.incoming})
		case !c.dropped:
			plan.Insertions = append(plan.Insertions, Insertion{Key: c.key, Incoming: c.incoming})
		}
	}
	return plan
}

// planner applies the incoming deliveries one after another to an image of the database.
type planner struct {
	// places has a place for each key that is in use.
	places map[Key]*place
	// changed are the places that differ from the database, in the order of their first change.
	changed []*place
}

// place is a delivery as it will be after the plan.
type place struct {
	key Key
	// kept is the delivery as decisions see it. Its ID is that of the database, if isStored.
	existing Existing
	isStored bool
	// incoming delivery is what is to be written. Nil if the delivery is unchanged.
	incoming *Incoming
	dropped  bool
}

func (p *planner) add(in *Incoming) Action {
	var existing *Existing
	taken := p.places[in.Key()]
	if taken != nil {
		existing = &taken.existing
	}
	action := Decide(existing, in)
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
		if p.places[in.BodyKey()] == nil {
			p.insert(in.BodyKey(), asConflict(in))
		}
	}
	return action
}

func (p *planner) insert(key Key, in *Incoming) {
	added := &place{key: key}
	added.write(in)
	p.places[key] = added
	p.changed = append(p.changed, added)
}

// dropConflict drops the set-aside delivery with the body of an incoming delivery that gets its event's key. A set-aside delivery that is
// no longer rejected stays: it was replayed, and may be being forwarded.
func (p *planner) dropConflict(in *Incoming) {
	conflict := p.places[in.BodyKey()]
	if conflict == nil || conflict.existing.State != Rejected || conflict.key == in.Key() {
		return
	}
	delete(p.places, conflict.key)
	conflict.dropped = true
	if conflict.isStored {
		p.changed = append(p.changed, conflict)
	}
}

func (p *place) write(in *Incoming) {
	p.incoming = in
	p.existing.State, p.existing.BodyHash = in.State(), in.BodyHash
}

// asConflict returns the incoming delivery as it is kept if another delivery has its event's key.
func asConflict(in *Incoming) *Incoming {
	if in.RejectReason != "" {
		return in
	}
	conflict := *in
	conflict.RejectReason = ReasonOtherBody
	return &conflict
}

// keySet holds keys, each once, in the order in which they were added.
type keySet struct {
	keys  []Key
	taken map[Key]struct{}
}

func newKeySet(size int) *keySet {
	return &keySet{keys: make([]Key, 0, size), taken: make(map[Key]struct{}, size)}
}

// add returns false if the key was added before.
func (s *keySet) add(key Key) bool {
	if _, taken := s.taken[key]; taken {
		return false
	}
	s.taken[key] = struct{}{}
	s.keys = append(s.keys, key)
	return true
}
