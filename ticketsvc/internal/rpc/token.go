package rpc

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// A page token is, in URL-safe base64, the form of tokens (1 byte), a checksum (12 bytes), and the place where the next page begins. The
// checksum is over the place and the query that the token belongs to, so a token that was changed, or is used for another query, is
// found out. It is no protection: whoever may ask with a token may ask for any other place as well.

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
	b := append([]byte("tickets"), byte(order.Time), flag(order.Descending), flag(f.Unassigned))
	b = binary.AppendUvarint(b, uint64(len(f.Statuses)))
	for _, status := range f.Statuses {
		b = binary.AppendVarint(b, int64(status))
	}
	for _, texts := range [][]string{f.AppIDs, f.CategoryIDs, f.PropertyIDs, {f.AssignedTo}, {f.Text}} {
		b = binary.AppendUvarint(b, uint64(len(texts)))
		for _, text := range texts {
			b = appendBytes(b, []byte(text))
		}
	}
	return appendInstant(appendInstant(b, f.UpdatedAfter), f.UpdatedBefore)
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
	return c, c.Time.Valid() && c.TicketID != "" && len(c.TicketID) <= ticket.MaxIDBytes
}

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
