package inbox

import "context"

// Erasure is the erasure of a ticket by ticketsvc. Nothing else is kept of the ticket.
type Erasure struct {
	// TicketID is the ticket's id.
	TicketID string
	// Receipt is the proof that ticketsvc asks for when the erasure is repeated.
	Receipt []byte
}

// ErasureCursor is how far ticketsvc's erasures are read.
type ErasureCursor struct {
	// Generation counts how often they were read from the beginning. ticketsvc has all those that it listed in the current generation.
	Generation int64
	// Position is ticketsvc's position of the last one that was read in this generation, in a form of the reader's. Empty at the beginning.
	Position string
}

// ErasureStore keeps ticketsvc's erasures, for ever. Several gateways can read them at the same time: where one has moved the cursor, what
// the others read at its former place changes nothing.
type ErasureStore interface {
	// ErasureCursor returns the cursor.
	ErasureCursor(ctx context.Context) (ErasureCursor, error)

	// AddErasures keeps erasures that ticketsvc listed at the cursor, and moves the cursor to position, in one durable transaction. It changes
	// nothing when the cursor has moved since.
	AddErasures(ctx context.Context, at ErasureCursor, erasures []Erasure, position string) error

	// RestartErasures moves the cursor to the beginning, in a new generation. It changes nothing when the cursor has moved since.
	RestartErasures(ctx context.Context, at ErasureCursor) error

	// MissingErasures returns, by ticket id in byte order, the first of those after the id after that ticketsvc did not list in this
	// generation or later, at most limit.
	MissingErasures(ctx context.Context, generation int64, after string, limit int) ([]Erasure, error)
}
