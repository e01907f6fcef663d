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

// ReceiptKey is the secret of a database that makes the receipts of its erasures. It is made with the database, and goes where its backups
// and standbys go: a database that was restored recognises the receipts of erasures that it lost, and one that was made anew does not. It
// encrypts nothing.
type ReceiptKey [sha256.Size]byte

// NewReceiptKey returns a random key.
func NewReceiptKey() (key ReceiptKey) {
	_, _ = rand.Read(key[:]) // It never fails.
	return key
}

// Receipt returns the proof that a ticket was erased. With it, a caller without the right to erase tickets can repeat the erasure.
func (k ReceiptKey) Receipt(ticketID string) []byte {
	mac := hmac.New(sha256.New, k[:])
	mac.Write([]byte(ticketID))
	return mac.Sum(nil)
}

// Verify reports whether the receipt is the ticket's. Its time does not depend on what is wrong with the receipt.
func (k ReceiptKey) Verify(ticketID string, receipt []byte) bool {
	return hmac.Equal(receipt, k.Receipt(ticketID))
}
