package feed

// WindowSize returns how many entries the window has, and how large they are.
func (f *Feed) WindowSize() (entries, bytes int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.window.entries), f.window.bytes
}

// Members returns how many watchers the groups have, and how many of them wait or are busy.
func (f *Feed) Members() (size, waiting, busy int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, g := range f.turns.groups {
		size, waiting, busy = size+g.size, waiting+g.waiting, busy+g.busy
	}
	return size, waiting, busy
}
