package webhook

// SetMemory replaces the memory budget for bodies by one of this size.
func (h *Handler) SetMemory(size int64) { h.bodies = newBodyReader(h.options.MaxBodyBytes, size) }

// Memory returns the free memory for bodies, the number of bodies that are being read, and how much memory these hold.
func (h *Handler) Memory() (free int64, reading int, readingBytes int64) {
	b := h.bodies.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.free, b.reading.Len(), b.readingBytes
}
