package rpc

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"unicode/utf8"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/watch"
)

// A token is, in URL-safe base64, the form of tokens (1 byte), a checksum (12 bytes), and the start of the next page, or the resume point
// of a watcher. The checksum covers the start and the query that the token belongs to, so it detects a token that was changed or is used
// for another query. It is not a protection: a caller that may use a token may start anywhere.

const (
	tokenForm    = 1
	checksumSize = 12
)

var tokenEncoding = base64.RawURLEncoding.Strict()

func encodeToken(query, start []byte) string {
	token := append(append([]byte{tokenForm}, checksum(query, start)...), start...)
	return tokenEncoding.EncodeToString(token)
}

// decodeToken returns the start of a token of this query.
func decodeToken(query []byte, token string) (start []byte, ok bool) {
	raw, err := tokenEncoding.DecodeString(token)
	// The decoder ignores line breaks, so without the comparison several strings would be accepted as one token.
	if err != nil || tokenEncoding.EncodeToString(raw) != token || len(raw) < 1+checksumSize || raw[0] != tokenForm {
		return nil, false
	}
	start = raw[1+checksumSize:]
	return start, bytes.Equal(raw[1:1+checksumSize], checksum(query, start))
}

func checksum(query, start []byte) []byte {
	hash := sha256.New()
	hash.Write(appendBytes(nil, query))
	hash.Write(start)
	return hash.Sum(nil)[:checksumSize]
}

// listQuery returns bytes that differ for any two filters and orders that select or order differently. The filter must be in its normal
// form.
func listQuery(f *ticket.Filter, order ticket.Order) []byte {
	return appendFilter(append([]byte("tickets"), byte(order.Time), flag(order.Descending)), f)
}

// watchQuery is like listQuery, for watchers.
func watchQuery(f *ticket.Filter) []byte { return appendFilter([]byte("watch"), f) }

// appendFilter appends the conditions of a filter, each after its number. Watchers keep their tokens for any time, so these bytes must stay
// the same.
func appendFilter(b []byte, f *ticket.Filter) []byte {
	for _, c := range f.Conditions() {
		b = append(b, c.Number)
		if c.IsList {
			b = binary.AppendUvarint(b, uint64(len(c.Values)))
		}
		for _, value := range c.Values {
			switch value := value.(type) {
			case ticket.Status:
				b = binary.AppendVarint(b, int64(value))
			case string:
				b = appendBytes(b, []byte(value))
			case ticket.Instant:
				b = appendInstant(b, value)
			}
		}
	}
	return b
}

func eventQuery(ticketID string) []byte { return append([]byte("events"), ticketID...) }

func encodeCursor(c ticket.Cursor) []byte {
	return append(appendInstant(nil, c.Time), c.TicketID...)
}

func decodeCursor(start []byte) (c ticket.Cursor, ok bool) {
	if len(start) == 0 {
		return c, false
	}
	isSet, rest := start[0], start[1:]
	if isSet != 0 {
		if isSet != 1 || len(rest) < 12 {
			return c, false
		}
		c.Time = ticket.Instant{
			Set:     true,
			Seconds: int64(binary.BigEndian.Uint64(rest)),
			Nanos:   int32(binary.BigEndian.Uint32(rest[8:])),
		}
		rest = rest[12:]
	}
	c.TicketID = string(rest)
	return c, c.Time.Valid() && c.TicketID != "" && validID(c.TicketID)
}

// validID reports whether the id of a token can be looked up. Databases accept only UTF-8 strings.
func validID(id string) bool { return len(id) <= ticket.MaxIDBytes && utf8.ValidString(id) }

func encodeSequence(sequence int64) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(sequence))
}

func decodeSequence(start []byte) (sequence int64, ok bool) {
	if len(start) != 8 {
		return 0, false
	}
	sequence = int64(binary.BigEndian.Uint64(start))
	return sequence, sequence > 0
}

// The flags of a resume point.
const (
	// inSnapshot is set while the snapshot is in progress.
	inSnapshot = 1
	// hasSeen is set if Seen is after Position, and so a part of the token.
	hasSeen = 2
)

// positionSize is the size of a position in bytes: its sequence number (8) and its fingerprint (8).
const positionSize = 16

// A resume point is: the id of the database (16 bytes), the flags (1), Position, Seen if hasSeen is set, and in the snapshot the id of the
// last ticket, which is empty at the beginning.

func encodeResumePoint(database ticket.DatabaseID, p *watch.ResumePoint) []byte {
	var flags byte
	if p.Snapshot {
		flags |= inSnapshot
	}
	seen := p.Seen.Sequence > p.Position.Sequence
	if seen {
		flags |= hasSeen
	}
	b := append(append(make([]byte, 0, 96), database[:]...), flags)
	b = appendPosition(b, p.Position)
	if seen {
		b = appendPosition(b, p.Seen)
	}
	return append(b, p.TicketID...)
}

func decodeResumePoint(start []byte) (database ticket.DatabaseID, p watch.ResumePoint, ok bool) {
	rest := start[copy(database[:], start):]
	if len(rest) < 1+positionSize {
		return database, p, false
	}
	flags := rest[0]
	p.Snapshot = flags&inSnapshot != 0
	p.Position, rest = cutPosition(rest[1:])
	p.Seen = p.Position
	if flags&hasSeen != 0 {
		if len(rest) < positionSize {
			return database, p, false
		}
		p.Seen, rest = cutPosition(rest)
	}
	p.TicketID = string(rest)
	return database, p, flags <= inSnapshot|hasSeen && p.Position.Sequence >= 0 && p.Seen.Sequence >= p.Position.Sequence &&
		(p.Snapshot || p.TicketID == "") && validID(p.TicketID)
}

func appendPosition(b []byte, p ticket.LogPosition) []byte {
	return append(binary.BigEndian.AppendUint64(b, uint64(p.Sequence)), p.Fingerprint[:]...)
}

// cutPosition returns the position at the beginning of b, and the rest.
func cutPosition(b []byte) (p ticket.LogPosition, rest []byte) {
	p.Sequence = int64(binary.BigEndian.Uint64(b))
	copy(p.Fingerprint[:], b[8:positionSize])
	return p, b[positionSize:]
}

func appendInstant(b []byte, i ticket.Instant) []byte {
	if !i.Set {
		return append(b, 0)
	}
	b = binary.BigEndian.AppendUint64(append(b, 1), uint64(i.Seconds))
	return binary.BigEndian.AppendUint32(b, uint32(i.Nanos))
}

// appendBytes appends a string after its length, so that different lists of strings give different bytes.
func appendBytes(b, text []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

func flag(set bool) byte {
	if set {
		return 1
	}
	return 0
}
