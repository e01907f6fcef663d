package webhook

// SetMemory replaces the memory for bodies by one of this size.
func (h *Handler) SetMemory(size int64) { h.bodies = newBodyReader(h.options.MaxBodyBytes, size) }
