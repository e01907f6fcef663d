package feed

// WindowSize returns how many entries the window has, and how large they are.
func (f *Feed) WindowSize() (entries, bytes int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.window.entries), f.window.bytes
}

// Members returns how many watchers there are, and how many of them wait or are busy.
func (f *Feed) Members() (watchers, waiting, busy int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range f.watchers {
		if w.waiting {
			waiting++
		}
		if w.turn != nil {
			busy++
		}
	}
	return len(f.watchers), waiting, busy
}
