package ticket

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
)

// ErrPositionNotFound is returned if the log does not hold a position.
var ErrPositionNotFound = errors.New("the log does not hold the position")

// LogPosition is a position of the event log, with a fingerprint of the entry there. The zero position is the beginning, before the first
// entry.
//
// The fingerprint of a position never changes, not even when the ticket is erased. If the fingerprints differ, the log is another one: that
// of a database that was restored from a backup, or of a replica that took over without the last commits. They differ even if the same
// events were recorded again, because each record of an event has its own nonce.
type LogPosition struct {
	// Sequence is the number of the entry, from 1 on. 0 for the beginning.
	Sequence int64
	// Fingerprint is a hash of the ids of the event and of its ticket, the event's name, and its nonce.
	Fingerprint [8]byte
}

// Position returns the position of the event. nonce is a random number that the event got when it was recorded.
func (e *Event) Position(nonce int64) LogPosition {
	var b []byte
	for _, text := range []string{e.EventID, e.TicketID, string(e.Name)} {
		b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(nonce))
	p := LogPosition{Sequence: e.Sequence}
	sum := sha256.Sum256(b)
	copy(p.Fingerprint[:], sum[:])
	return p
}
