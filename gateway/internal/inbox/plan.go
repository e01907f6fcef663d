package inbox

// Plan is what a database must change to keep a batch of arrivals. Each delivery and each key is in it at most once.
type Plan struct {
	// Actions are the actions for the arrivals, by [Decide]. Each decision takes the arrivals before it into account.
	Actions []Action
	// Deletions are the ids of kept deliveries to delete: their body was set aside before, and now has its event's key. They must be done
	// first, because an insertion may have the key of one.
	Deletions []int64
	// Replacements are the kept deliveries to replace.
	Replacements []Replacement
	// Insertions are the new deliveries.
	Insertions []Insertion
}

// Replacement replaces a kept delivery by an arrival. The id and the key stay. Everything else is the arrival's.
type Replacement struct {
	// ID is the id of the kept delivery.
	ID int64
	// Arrival is the arrival that replaces it.
	Arrival *Arrival
}

// Insertion is a new delivery.
type Insertion struct {
	// Key is the key of the new delivery.
	Key Key
	// Arrival is the delivery to keep. If it is set aside, it has the reason.
	Arrival *Arrival
}

// Keys returns the arrivals' keys, each once: the keys to look up first for a plan.
func Keys(arrivals []Arrival) []Key {
	keys := newKeySet(len(arrivals))
	for i := range arrivals {
		keys.add(arrivals[i].Key())
	}
	return keys.keys
}

// AsideKeys returns the keys of bodies that a plan also depends on, each once. kept are the deliveries under [Keys]. There are none as long
// as all arrivals are new events, or events that are kept already with the same body.
func AsideKeys(arrivals []Arrival, kept map[Key]Kept) []Key {
	seen, asides := newKeySet(len(arrivals)), newKeySet(0)
	for i := range arrivals {
		a := &arrivals[i]
		k, isKept := kept[a.Key()]
		if again := !seen.add(a.Key()); again || isKept && (k.State == Rejected || k.BodyHash != a.BodyHash) {
			asides.add(a.BodyKey())
		}
	}
	return asides.keys
}

// NewPlan returns the plan for arrivals. kept are the deliveries under [Keys] and [AsideKeys]. The plan is valid as long as none of these
// changes.
func NewPlan(arrivals []Arrival, kept map[Key]Kept) Plan {
	p := planner{places: make(map[Key]*place, len(arrivals)), changed: make([]*place, 0, len(arrivals))}
	for key, k := range kept {
		p.places[key] = &place{key: key, kept: k, isKept: true}
	}
	plan := Plan{Actions: make([]Action, len(arrivals)), Insertions: make([]Insertion, 0, len(arrivals))}
	for i := range arrivals {
		plan.Actions[i] = p.add(&arrivals[i])
	}
	for _, c := range p.changed {
		switch {
		case c.isKept && c.dropped:
			plan.Deletions = append(plan.Deletions, c.kept.ID)
		case c.isKept:
			plan.Replacements = append(plan.Replacements, Replacement{ID: c.kept.ID, Arrival: c.arrival})
		case !c.dropped:
			plan.Insertions = append(plan.Insertions, Insertion{Key: c.key, Arrival: c.arrival})
		}
	}
	return plan
}

// planner applies the arrivals one after another to an image of the database.
type planner struct {
	// places has a place for each key that is in use.
	places map[Key]*place
	// changed are the places that differ from the database, in the order of their first change.
	changed []*place
}

// place is a delivery as it will be after the plan.
type place struct {
	key Key
	// kept is the delivery as decisions see it. Its ID is that of the database, if isKept.
	kept   Kept
	isKept bool
	// arrival is what is to be written. Nil if the delivery is unchanged.
	arrival *Arrival
	dropped bool
}

func (p *planner) add(a *Arrival) Action {
	var kept *Kept
	taken := p.places[a.Key()]
	if taken != nil {
		kept = &taken.kept
	}
	action := Decide(kept, a)
	switch action {
	case Insert:
		p.insert(a.Key(), a)
	case Replace:
		p.dropAside(a)
		if taken.isKept {
			p.changed = append(p.changed, taken)
		}
		taken.write(a)
	case SetAside:
		if p.places[a.BodyKey()] == nil {
			p.insert(a.BodyKey(), setAside(a))
		}
	}
	return action
}

func (p *planner) insert(key Key, a *Arrival) {
	added := &place{key: key}
	added.write(a)
	p.places[key] = added
	p.changed = append(p.changed, added)
}

// dropAside drops the set-aside delivery with the body of an arrival that gets its event's key. A set-aside delivery that is no longer
// rejected stays: it was replayed, and may be being forwarded.
func (p *planner) dropAside(a *Arrival) {
	aside := p.places[a.BodyKey()]
	if aside == nil || aside.kept.State != Rejected || aside.key == a.Key() {
		return
	}
	delete(p.places, aside.key)
	aside.dropped = true
	if aside.isKept {
		p.changed = append(p.changed, aside)
	}
}

func (p *place) write(a *Arrival) {
	p.arrival = a
	p.kept.State, p.kept.BodyHash = a.State(), a.BodyHash
}

// setAside returns the arrival as it is kept if another delivery has its event's key.
func setAside(a *Arrival) *Arrival {
	if a.RejectReason != "" {
		return a
	}
	aside := *a
	aside.RejectReason = ReasonOtherBody
	return &aside
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
