package ticket

const (
	defaultPageSize = 50
	maxPageSize     = 1000
	// MaxPageBytes is the maximum size of the tickets of a page. A page ends at this size even if it has fewer tickets than allowed. So a page
	// fits into the 4 MiB that gRPC clients accept by default, except if a single ticket is larger.
	MaxPageBytes = 3 << 20
)

// PageSize returns the maximum number of items of a page, for the number that a request asks for. 0 asks for the default. ok is false if
// requested is negative.
func PageSize(requested int32) (size int, ok bool) {
	if requested == 0 {
		return defaultPageSize, true
	}
	return min(int(requested), maxPageSize), requested > 0
}

// PageLimit bounds one read.
type PageLimit struct {
	// Items is the maximum number of items. At least 1.
	Items int
	// Bytes is the maximum stored size of all items together. A single larger item is allowed. In memory the items have at most memoryPerByte
	// times as many bytes.
	Bytes int
	// Budget is asked for the memory of each item. A page ends before an item for which there is none. If that is the first item, the read
	// fails.
	Budget MemoryBudget
}

// memoryPerByte bounds the size in memory of the items of a page, relative to their stored size. It is 3 for usual tickets.
const memoryPerByte = 4

// Page is how much of a [PageLimit] is used.
type Page struct {
	limit         PageLimit
	items         int
	bytes, memory int
}

// NewPage returns an empty page.
func NewPage(limit PageLimit) Page { return Page{limit: limit} }

// Add adds the next item, a ticket or an event of it. added is false if the page ends before the item. The error is [ErrNoMemory], for the
// first item only.
func (p *Page) Add(ticketID string, w Weight) (added bool, err error) {
	bytes, memory := p.bytes+w.Bytes, p.memory+w.Memory()
	if p.items == p.limit.Items || p.items > 0 && (bytes > p.limit.Bytes || memory > memoryPerByte*p.limit.Bytes) {
		return false, nil
	}
	if err := p.limit.Budget.Reserve(ticketID, w); err != nil {
		if p.items > 0 {
			err = nil
		}
		return false, err
	}
	p.items, p.bytes, p.memory = p.items+1, bytes, memory
	return true, nil
}
