package inbox

import "context"

// Erasure is the erasure of a ticket by ticketsvc. Nothing else about the ticket is kept.
type Erasure struct {
	// TicketID is the ticket's id.
	TicketID string
	// Receipt is the proof that ticketsvc demands if the erasure is repeated.
	Receipt []byte
}

// ErasureCursor is the position up to which ticketsvc's erasures are read.
type ErasureCursor struct {
	// Generation is the number of times that the reading was restarted from the beginning. ticketsvc has all erasures that it listed in the
	// current generation.
	Generation int64
	// Position is ticketsvc's position of the last erasure that was read in this generation, in a format of the reader's. Empty at the
	// beginning.
	Position string
}

// ErasureStore keeps ticketsvc's erasures for ever. Several gateways can read them at the same time: after one has moved the cursor,
// erasures that others read at the old cursor change nothing.
type ErasureStore interface {
	// ErasureCursor returns the cursor.
	ErasureCursor(ctx context.Context) (ErasureCursor, error)

	// AddErasures keeps erasures that ticketsvc listed at the cursor, and moves the cursor to position, in one durable transaction. It changes
	// nothing if the cursor has moved since.
	AddErasures(ctx context.Context, at ErasureCursor, erasures []Erasure, position string) error

	// RestartErasures moves the cursor to the beginning, in a new generation. It changes nothing if the cursor has moved since.
	RestartErasures(ctx context.Context, at ErasureCursor) error

	// MissingErasures returns the erasures that ticketsvc has not listed in this generation or later, at most limit, in byte order of their
	// ticket ids. It begins after the ticket id after.
	MissingErasures(ctx context.Context, generation int64, after string, limit int) ([]Erasure, error)
}
