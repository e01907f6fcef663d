package ticket

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
)

// Erasure is the erasure of a ticket.
type Erasure struct {
	TicketID string
	// Position is the position of the erasure in the log.
	Position LogPosition
}

// ErasuresAfter returns the erasures after a position, at most limit of them. read are those that a store has read from the position on,
// including it. held is false if the log does not hold the position.
func ErasuresAfter(after LogPosition, limit int, read []Erasure) (erasures []Erasure, held bool) {
	if after != (LogPosition{}) {
		if len(read) == 0 || read[0].Position != after {
			return nil, false
		}
		read = read[1:]
	}
	return read[:min(limit, len(read))], true
}

// ErasureKey is the secret of a database by which it recognises what it erased. It is made with the database, and goes where its backups
// and standbys go: a database that was restored recognises the erasures that it lost, and one that was made anew does not.
type ErasureKey [sha256.Size]byte

// NewErasureKey returns a random key.
func NewErasureKey() (key ErasureKey) {
	_, _ = rand.Read(key[:]) // It never fails.
	return key
}

// Receipt returns the proof that a ticket was erased. Only who has it can repeat the erasure without the right to erase tickets.
func (k ErasureKey) Receipt(ticketID string) []byte {
	mac := hmac.New(sha256.New, k[:])
	mac.Write([]byte(ticketID))
	return mac.Sum(nil)
}

// Verify reports whether the receipt is the ticket's. How long it takes does not depend on what is wrong with it.
func (k ErasureKey) Verify(ticketID string, receipt []byte) bool {
	return hmac.Equal(receipt, k.Receipt(ticketID))
}
