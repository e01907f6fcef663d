package feed

// WindowSize returns how many entries the window has, and how large they are.
func (f *Feed) WindowSize() (entries, bytes int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.window.entries), f.window.bytes
}
