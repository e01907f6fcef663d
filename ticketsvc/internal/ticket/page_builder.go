package ticket

// PageBuilder gathers the tickets of one page: as many as the page may have, and no larger than it may be unless one alone is larger. It is
// for one page, and not for concurrent use.
type PageBuilder struct {
	limit   PageLimit
	page    Page
	tickets []Ticket
	more    bool
}

// NewPageBuilder returns the builder of a page.
func NewPageBuilder(limit PageLimit) *PageBuilder {
	return &PageBuilder{limit: limit, page: NewPage(limit)}
}

// MaxBytes returns how large the page's tickets are together at most, unless one alone is larger.
func (p *PageBuilder) MaxBytes() int { return p.limit.Bytes }

// RowLimit returns how many rows to ask the database for: one more than may still be added, to learn whether others follow.
func (p *PageBuilder) RowLimit() int { return p.limit.Items - len(p.tickets) + 1 }

// Fits reports whether the next ticket, which has that weight, still belongs to the page, and then has to be added to it. When it doesn't,
// the page is complete, and others follow it. The error is that of [Page.Add].
func (p *PageBuilder) Fits(ticketID string, w Weight) (bool, error) {
	fits, err := p.page.Add(ticketID, w)
	p.more = p.more || !fits && err == nil
	return fits, err
}

// Add adds the next ticket, which fits.
func (p *PageBuilder) Add(t Ticket) { p.tickets = append(p.tickets, t) }

// More tells whether there was a ticket that did not fit.
func (p *PageBuilder) More() bool { return p.more }

// Tickets returns the tickets of the page, in the order in which they were added.
func (p *PageBuilder) Tickets() []Ticket { return p.tickets }
