package watch

// WindowSize returns how many entries the window has, and how large they are.
func (f *Feed) WindowSize() (entries, bytes int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.window.entries), f.window.bytes
}

// Waiting returns how many watchers there are, and how many of them the next publication wakes.
func (f *Feed) Waiting() (watchers, waiting int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.watchers, len(f.waiting)
}

// TryWaiting returns how many watchers there are, and false when the mutex is held.
func (f *Feed) TryWaiting() (watchers int, ok bool) {
	if !f.mu.TryLock() {
		return 0, false
	}
	defer f.mu.Unlock()
	return f.watchers, true
}
