package ticket

// PageBuilder collects the tickets of one page within the limits of the page. A single ticket may be larger than the limit. A builder is
// for one page, and not for concurrent use.
type PageBuilder struct {
	limit   PageLimit
	page    Page
	tickets []Ticket
	more    bool
}

// NewPageBuilder returns a builder of an empty page.
func NewPageBuilder(limit PageLimit) *PageBuilder {
	return &PageBuilder{limit: limit, page: NewPage(limit)}
}

// MaxBytes returns the maximum size of the page's tickets together. A single ticket may be larger.
func (p *PageBuilder) MaxBytes() int { return p.limit.Bytes }

// RowLimit returns the number of rows to ask the database for: one more than may still be added. The extra row shows whether others follow.
func (p *PageBuilder) RowLimit() int { return p.limit.Items - len(p.tickets) + 1 }

// Fits reports whether the next ticket, which has that weight, still belongs to the page. If so, the ticket must be added. If not, the page
// is complete, and others follow. The error is that of [Page.Add].
func (p *PageBuilder) Fits(ticketID string, w Weight) (bool, error) {
	fits, err := p.page.Add(ticketID, w)
	p.more = p.more || !fits && err == nil
	return fits, err
}

// Add adds the next ticket, for which [PageBuilder.Fits] returned true.
func (p *PageBuilder) Add(t Ticket) { p.tickets = append(p.tickets, t) }

// More reports whether there was a ticket that did not fit.
func (p *PageBuilder) More() bool { return p.more }

// Tickets returns the tickets of the page, in the order in which they were added.
func (p *PageBuilder) Tickets() []Ticket { return p.tickets }
