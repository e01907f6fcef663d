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

// A token is, in URL-safe base64, the form of tokens (1 byte), a checksum (12 bytes), and the place where the next page begins, or where a
// watcher goes on. The checksum is over the place and the query that the token belongs to, so a token that was changed, or is used for
// another query, is found out. It is no protection: whoever may ask with a token may ask for any other place as well.

const (
	tokenForm    = 1
	checksumSize = 12
)

var tokenEncoding = base64.RawURLEncoding.Strict()

func encodeToken(query, place []byte) string {
	token := append(append([]byte{tokenForm}, checksum(query, place)...), place...)
	return tokenEncoding.EncodeToString(token)
}

// decodeToken returns the place of a token of this query.
func decodeToken(query []byte, token string) (place []byte, ok bool) {
	raw, err := tokenEncoding.DecodeString(token)
	// The decoder passes over line breaks, so that it alone would take several texts for one token.
	if err != nil || tokenEncoding.EncodeToString(raw) != token || len(raw) < 1+checksumSize || raw[0] != tokenForm {
		return nil, false
	}
	place = raw[1+checksumSize:]
	return place, bytes.Equal(raw[1:1+checksumSize], checksum(query, place))
}

func checksum(query, place []byte) []byte {
	hash := sha256.New()
	hash.Write(appendBytes(nil, query))
	hash.Write(place)
	return hash.Sum(nil)[:checksumSize]
}

// listQuery returns bytes that differ for any two filters and orders that select or order differently. The filter is in its normal form.
func listQuery(f *ticket.Filter, order ticket.Order) []byte {
	return appendFilter(append([]byte("tickets"), byte(order.Time), flag(order.Descending)), f)
}

// watchQuery is as listQuery.
func watchQuery(f *ticket.Filter) []byte { return appendFilter([]byte("watch"), f) }

// appendFilter appends each condition of a filter that is set, behind a number of its own. Watchers keep their tokens for as long as they
// like, so these bytes must stay the same: a new condition gets a new number, behind the others.
func appendFilter(b []byte, f *ticket.Filter) []byte {
	if len(f.Statuses) > 0 {
		b = binary.AppendUvarint(append(b, 1), uint64(len(f.Statuses)))
		for _, status := range f.Statuses {
			b = binary.AppendVarint(b, int64(status))
		}
	}
	for i, ids := range [][]string{f.AppIDs, f.CategoryIDs, f.PropertyIDs} {
		if len(ids) > 0 {
			b = binary.AppendUvarint(append(b, byte(2+i)), uint64(len(ids)))
			for _, id := range ids {
				b = appendBytes(b, []byte(id))
			}
		}
	}
	if f.AssigneeID != "" {
		b = appendBytes(append(b, 5), []byte(f.AssigneeID))
	}
	if f.Unassigned {
		b = append(b, 6)
	}
	for i, bound := range []ticket.Instant{f.UpdatedAfter, f.UpdatedBefore} {
		if bound.Set {
			b = appendInstant(append(b, byte(7+i)), bound)
		}
	}
	if f.Text != "" {
		b = appendBytes(append(b, 9), []byte(f.Text))
	}
	return b
}

func eventQuery(ticketID string) []byte { return append([]byte("events"), ticketID...) }

func encodeCursor(c ticket.Cursor) []byte {
	return append(appendInstant(nil, c.Time), c.TicketID...)
}

func decodeCursor(place []byte) (c ticket.Cursor, ok bool) {
	if len(place) == 0 {
		return c, false
	}
	isSet, rest := place[0], place[1:]
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

// validID tells whether a token's id can be looked up: databases take nothing but UTF-8 for a text.
func validID(id string) bool { return len(id) <= ticket.MaxIDBytes && utf8.ValidString(id) }

func encodeSequence(sequence int64) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(sequence))
}

func decodeSequence(place []byte) (sequence int64, ok bool) {
	if len(place) != 8 {
		return 0, false
	}
	sequence = int64(binary.BigEndian.Uint64(place))
	return sequence, sequence > 0
}

// What a watcher's token says of its place.
const (
	// inWalk says that the watcher is in the walk.
	inWalk = 1
	// hasSeen says that tickets were told as they were at a later place of the log than the watcher's.
	hasSeen = 2
)

// markSize is how many bytes a mark takes: its place (8), and the fingerprint of what stands there (8).
const markSize = 16

// A watcher's place is: the id of the database (16 bytes), what the token says of it (1), its mark, with hasSeen the mark of that later
// place, and in the walk the id of the last ticket, which is empty at its beginning.

func encodePlace(database ticket.DatabaseID, p *watch.Place) []byte {
	var says byte
	if p.Walking {
		says |= inWalk
	}
	seen := p.Seen.Sequence > p.Mark.Sequence
	if seen {
		says |= hasSeen
	}
	b := append(append(make([]byte, 0, 96), database[:]...), says)
	b = appendMark(b, p.Mark)
	if seen {
		b = appendMark(b, p.Seen)
	}
	return append(b, p.TicketID...)
}

func decodePlace(place []byte) (database ticket.DatabaseID, p watch.Place, ok bool) {
	rest := place[copy(database[:], place):]
	if len(rest) < 1+markSize {
		return database, p, false
	}
	says := rest[0]
	p.Walking = says&inWalk != 0
	p.Mark, rest = cutMark(rest[1:])
	p.Seen = p.Mark
	if says&hasSeen != 0 {
		if len(rest) < markSize {
			return database, p, false
		}
		p.Seen, rest = cutMark(rest)
	}
	p.TicketID = string(rest)
	return database, p, says <= inWalk|hasSeen && p.Mark.Sequence >= 0 && p.Seen.Sequence >= p.Mark.Sequence &&
		(p.Walking || p.TicketID == "") && validID(p.TicketID)
}

func appendMark(b []byte, m ticket.Mark) []byte {
	return append(binary.BigEndian.AppendUint64(b, uint64(m.Sequence)), m.Fingerprint[:]...)
}

// cutMark returns the mark at the beginning of b, which has one, and what is behind it.
func cutMark(b []byte) (m ticket.Mark, rest []byte) {
	m.Sequence = int64(binary.BigEndian.Uint64(b))
	copy(m.Fingerprint[:], b[8:markSize])
	return m, b[markSize:]
}

func appendInstant(b []byte, i ticket.Instant) []byte {
	if !i.Set {
		return append(b, 0)
	}
	b = binary.BigEndian.AppendUint64(append(b, 1), uint64(i.Seconds))
	return binary.BigEndian.AppendUint32(b, uint32(i.Nanos))
}

// appendBytes appends a text behind its length, so that no two lists of texts give the same bytes.
func appendBytes(b, text []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

func flag(set bool) byte {
	if set {
		return 1
	}
	return 0
}
