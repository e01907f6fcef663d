package ticket

import (
	"cmp"
	"errors"
	"time"
)

// Instant is a moment with nanosecond precision, or none. It is comparable. Unlike in a [time.Time], none differs from the first moment of
// the year 1, which the contract can hold.
type Instant struct {
	// Seconds is the number of seconds since 1970, rounded down. It is between those of the first and the last second of the years 1 to 9999.
	Seconds int64
	// Nanos is the number of nanoseconds within the second, from 0 to 999,999,999.
	Nanos int32
	// Set is false for none. The other fields are 0 then.
	Set bool
}

// The seconds of 0001-01-01T00:00:00Z and of 9999-12-31T23:59:59Z, the bounds of the contract's Timestamp.
const (
	minSeconds = -62135596800
	maxSeconds = 253402300799
)

// Valid reports whether the instant is none, or a moment in the years 1 to 9999.
func (i Instant) Valid() bool {
	if !i.Set {
		return i == Instant{}
	}
	return minSeconds <= i.Seconds && i.Seconds <= maxSeconds && 0 <= i.Nanos && i.Nanos < 1e9
}

// Compare returns -1 if i is before j, 0 if they are equal, and 1 if i is after j. None is before every moment.
func (i Instant) Compare(j Instant) int {
	if i.Set != j.Set {
		if j.Set {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(i.Seconds, j.Seconds), cmp.Compare(i.Nanos, j.Nanos))
}

// sortableLayout has a fixed width, so that strings sort as their moments do.
const sortableLayout = "2006-01-02T15:04:05.000000000Z"

// SortableText returns the moment in UTC as a string that sorts as [Instant.Compare] does: "2026-03-02T07:15:30.123000000Z". The string of
// none is empty. Databases store strings because nanoseconds over nine thousand years do not fit into 64 bits.
func (i Instant) SortableText() string {
	if !i.Set {
		return ""
	}
	return time.Unix(i.Seconds, int64(i.Nanos)).UTC().Format(sortableLayout)
}

// ParseSortableText is the inverse of [Instant.SortableText]. It fails if text is not such a string. The error does not contain the text.
func ParseSortableText(text string) (Instant, error) {
	if text == "" {
		return Instant{}, nil
	}
	t, err := time.Parse(sortableLayout, text)
	if err != nil {
		return Instant{}, errors.New("a stored time is malformed")
	}
	i := Instant{Set: true, Seconds: t.Unix(), Nanos: int32(t.Nanosecond())}
	if !i.Valid() {
		return Instant{}, errors.New("a stored time is outside the years 1 to 9999")
	}
	return i, nil
}
