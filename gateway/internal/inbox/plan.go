package inbox

// Plan is what a database has to do to keep a batch of arrivals. It names no delivery and no key twice.
type Plan struct {
	// Actions is what happens with each arrival, as [Decide] has it, each seeing what those before it did.
	Actions []Action
	// Deletions are the ids of kept deliveries that go: a body set aside before, which now has its event's place. They are done first,
	// because an insertion may have the key of one.
	Deletions []int64
	// Replacements are the kept deliveries that become another.
	Replacements []Replacement
	// Insertions are the new deliveries.
	Insertions []Insertion
}

// Replacement gives an arrival the place of a kept delivery. The id and the key stay; everything else is the arrival's.
type Replacement struct {
	// ID is the kept delivery's.
	ID int64
	// Arrival is what takes its place.
	Arrival *Arrival
}

// Insertion is a new delivery.
type Insertion struct {
	// Key is what it is kept by.
	Key Key
	// Arrival is what to keep, with the reason for which it was set aside where it was.
	Arrival *Arrival
}

// Keys returns the arrivals' keys, each once: what to look up first to make a plan.
func Keys(arrivals []Arrival) []Key {
	keys := newKeySet(len(arrivals))
	for i := range arrivals {
		keys.add(arrivals[i].Key())
	}
	return keys.keys
}

// AsideKeys returns the keys of bodies on which a plan depends as well, each once, given what is kept under [Keys]. There are none as
// long as all arrivals are new events, or events that are kept already with the same body.
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

// NewPlan returns the plan for arrivals, given what is kept under [Keys] and [AsideKeys]. It is good as long as none of that changes.
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

// planner does with a picture of the database what the arrivals do, one after another.
type planner struct {
	// places are those of all keys that are taken by now.
	places map[Key]*place
	// changed are those that differ from what is kept, in the order of their first change.
	changed []*place
}

// place is a delivery as it will be.
type place struct {
	key Key
	// kept is what decisions see of it. Its ID is that of the database, if isKept.
	kept   Kept
	isKept bool
	// arrival is what is to be written; nil as long as it stays as it is.
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

// dropAside drops the body of an arrival that takes its event's place, where that body was set aside. One that is no longer rejected
// stays: it was tried again, and may be on its way.
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

// setAside returns the arrival as it is kept beside another of its event.
func setAside(a *Arrival) *Arrival {
	if a.RejectReason != "" {
		return a
	}
	aside := *a
	aside.RejectReason = ReasonOtherBody
	return &aside
}

// keySet holds keys, each once, in the order in which they came.
type keySet struct {
	keys  []Key
	taken map[Key]struct{}
}

func newKeySet(size int) *keySet {
	return &keySet{keys: make([]Key, 0, size), taken: make(map[Key]struct{}, size)}
}

// add returns false when the key was there before.
func (s *keySet) add(key Key) bool {
	if _, taken := s.taken[key]; taken {
		return false
	}
	s.taken[key] = struct{}{}
	s.keys = append(s.keys, key)
	return true
}
