package event

import (
	"bytes"
	"math/big"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // The zones that PHP names, for machines without a zone database.

	"google.golang.org/protobuf/types/known/timestamppb"
)

// readDate reads a date in any of the forms that the package's documentation lists. It returns nil for no date, such as "0000-00-00", and
// for a value that can't be read. A date outside the years 1 to 9999 can't be read, because a Timestamp can't hold it.
func readDate(value []byte) (*timestamppb.Timestamp, reading) {
	t, form, ok := parseDate(value)
	if ok {
		if date := timestamppb.New(t); date.CheckValid() == nil {
			return date, reading{form: form}
		}
		form = noDate(value)
	}
	if form == zeroDate || form == emptyString {
		return nil, reading{form: form}
	}
	return nil, reading{form, value}
}

// noDate returns the form of a value that can't be read as a date.
func noDate(value []byte) form {
	switch kind := kindOf(value); kind {
	case aString:
		return noDateString
	case aNumber:
		return noDateNumber
	case anObject:
		return noDateObject
	default:
		return kind
	}
}

// parseDate reads a date. If it reports false, the form is zeroDate or emptyString for no date, and any other form for a value that can't
// be read.
func parseDate(value []byte) (t time.Time, form form, ok bool) {
	switch kindOf(value) {
	case aString:
		return parseDateString(value, time.UTC)
	case aNumber:
		if t, ok = parseEpoch(value); ok {
			return t, aNumber, true
		}
	case anObject:
		return parseDateObject(value)
	}
	return t, noDate(value), false
}

// parseDateString reads a date in a JSON string. The zone is for a date without an offset.
func parseDateString(quoted []byte, zone *time.Location) (t time.Time, form form, ok bool) {
	text, _ := unquote(quoted)
	switch {
	case len(text) == 0:
		return t, emptyString, false
	case isZeroDate(text):
		return t, zeroDate, false
	case isDigits(text):
		if t, ok = parseEpoch(text); ok {
			return t, digits, true
		}
	default:
		if t, form, ok = parseISO(text, zone); ok {
			return t, form, true
		}
	}
	return t, noDateString, false
}

// parseDateObject reads PHP's {"date":…,"timezone_type":…,"timezone":…} and MongoDB's {"$date":…}. An object with other members is not a
// date, so that no member is lost.
func parseDateObject(object []byte) (t time.Time, form form, ok bool) {
	var date, zoneType, zoneName, mongo []byte
	for name, value := range members(object) {
		switch string(name) {
		case "date":
			date = value
		case "timezone_type":
			zoneType = value
		case "timezone":
			zoneName = value
		case "$date":
			mongo = value
		default:
			return t, noDateObject, false
		}
	}
	switch {
	case mongo != nil && date == nil && zoneType == nil && zoneName == nil:
		if long := mongo; long[0] == '{' {
			for name, value := range members(long) {
				if string(name) != "$numberLong" || value[0] == '{' {
					return t, noDateObject, false
				}
				mongo = value
			}
		}
		t, form, ok = parseDate(mongo)
	case mongo == nil && date != nil && date[0] == '"':
		zone := phpZone(zoneType, zoneName)
		if zone == nil {
			return t, noDateObject, false
		}
		t, form, ok = parseDateString(date, zone)
	}
	switch {
	case ok:
		return t, dateObject, true
	case form == zeroDate || form == emptyString:
		return t, form, false
	default:
		return t, noDateObject, false
	}
}

// isZeroDate reports whether a string stands for no date. MySQL writes 0000-00-00, and PHP turns that into -0001-11-30. A time may follow.
func isZeroDate(text []byte) bool {
	for _, day := range [...]string{"0000-00-00", "-0001-11-30"} {
		if rest, ok := bytes.CutPrefix(text, []byte(day)); ok && len(bytes.Trim(rest, "0123456789:.,+-TtZz ")) == 0 {
			return true
		}
	}
	return false
}

// isDigits reports whether a string is a decimal number.
func isDigits(text []byte) bool {
	whole, fraction, hasFraction := bytes.Cut(bytes.TrimPrefix(text, []byte{'-'}), []byte{'.'})
	return isAllDigits(whole) && (!hasFraction || isAllDigits(fraction))
}

func isAllDigits(text []byte) bool {
	return len(text) > 0 && !bytes.ContainsFunc(text, func(r rune) bool { return r < '0' || r > '9' })
}

// millisecondsFrom is the smallest number that is in milliseconds, a date in March 1973. Smaller numbers are in seconds, up to the year
// 5138.
var millisecondsFrom = big.NewRat(100_000_000_000, 1)

// Both limits are more than any date needs. Without them, a short number with a large exponent could take all memory.
const maxEpochBytes, maxExponentBytes = 64, len("+99")

// parseEpoch reads a decimal number of seconds or milliseconds since 1970.
func parseEpoch(number []byte) (time.Time, bool) {
	if _, exponent, _ := bytes.Cut(bytes.ToLower(number), []byte{'e'}); len(number) > maxEpochBytes || len(exponent) > maxExponentBytes {
		return time.Time{}, false
	}
	value, ok := new(big.Rat).SetString(string(number))
	if !ok {
		return time.Time{}, false
	}
	scale := big.NewRat(int64(time.Second), 1)
	if new(big.Rat).Abs(value).Cmp(millisecondsFrom) >= 0 {
		scale = big.NewRat(int64(time.Millisecond), 1)
	}
	value.Mul(value, scale)
	nanoseconds := new(big.Int).Div(value.Num(), value.Denom())
	seconds, rest := new(big.Int).DivMod(nanoseconds, big.NewInt(int64(time.Second)), new(big.Int))
	const maxSeconds = 1 << 40 // Far after the year 9999.
	if new(big.Int).Abs(seconds).Cmp(big.NewInt(maxSeconds)) > 0 {
		return time.Time{}, false
	}
	return time.Unix(seconds.Int64(), rest.Int64()), true
}

// parseISO reads a date of ISO 8601: with T or a blank before the time, with or without time, seconds, a fraction and an offset. The
// fraction is cut off after nanoseconds. The form names the part that is missing.
func parseISO(text []byte, zone *time.Location) (t time.Time, form form, ok bool) {
	c := dateCursor{rest: text, ok: true}
	year := c.digits(4)
	c.expect("-")
	month := c.digits(2)
	c.expect("-")
	day := c.digits(2)
	var hour, minute, second, nanosecond, offset int
	form = withoutTime
	if len(c.rest) > 0 {
		form = noOffset
		c.expect("Tt ")
		hour = c.digits(2)
		c.expect(":")
		minute = c.digits(2)
		if c.accept(":") {
			second = c.digits(2)
			if c.accept(".,") {
				nanosecond = c.fraction()
			}
		}
	}
	if len(c.rest) > 0 {
		form, zone = "", time.UTC
		offset = c.offset()
	}
	// A leap second becomes the first second of the next minute, as in package time.
	if !c.ok || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 || second > 60 {
		return t, form, false
	}
	return time.Date(year, time.Month(month), day, hour, minute, second-offset, nanosecond, zone), form, true
}

func daysIn(year, month int) int {
	return time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// dateCursor reads a date from the left. ok is false after the first part that is not as expected.
type dateCursor struct {
	rest []byte
	ok   bool
}

// digits reads a number of count digits.
func (c *dateCursor) digits(count int) int {
	if len(c.rest) < count || !isAllDigits(c.rest[:count]) {
		c.ok, c.rest = false, nil
		return 0
	}
	number := 0
	for _, digit := range c.rest[:count] {
		number = 10*number + int(digit-'0')
	}
	c.rest = c.rest[count:]
	return number
}

// accept reads the next character if it is one of these. It reports whether it is.
func (c *dateCursor) accept(characters string) bool {
	if len(c.rest) == 0 || strings.IndexByte(characters, c.rest[0]) < 0 {
		return false
	}
	c.rest = c.rest[1:]
	return true
}

func (c *dateCursor) expect(characters string) { c.ok = c.accept(characters) && c.ok }

// fraction reads the digits of a second's fraction. It returns nanoseconds.
func (c *dateCursor) fraction() int {
	nanoseconds, unit := 0, int(time.Second)
	for first := true; first || len(c.rest) > 0 && c.rest[0] >= '0' && c.rest[0] <= '9'; first = false {
		unit /= 10
		nanoseconds += c.digits(1) * unit
	}
	return nanoseconds
}

// offset reads an offset, which ends the string. It returns seconds.
func (c *dateCursor) offset() int {
	sign := 1
	switch {
	case c.accept("Zz"):
		c.ok = c.ok && len(c.rest) == 0
		return 0
	case c.accept("-"):
		sign = -1
	default:
		c.expect("+")
	}
	hours, minutes := c.digits(2), 0
	if c.accept(":") || len(c.rest) > 0 {
		minutes = c.digits(2)
	}
	c.ok = c.ok && len(c.rest) == 0 && hours <= 23 && minutes <= 59
	return sign * (hours*60 + minutes) * 60
}

// phpZone returns the zone of PHP's timezone_type 1 (an offset), 2 (an abbreviation) or 3 (a name). It returns UTC without a zone, and nil
// for an unknown zone.
func phpZone(zoneType, zoneName []byte) *time.Location {
	if zoneName == nil {
		return time.UTC
	}
	if zoneName[0] != '"' {
		return nil
	}
	text, _ := unquote(zoneName)
	name := string(text)
	if c := (dateCursor{rest: text, ok: true}); name != "" {
		if offset := c.offset(); c.ok {
			return time.FixedZone("", offset)
		}
	}
	if string(bytes.Trim(zoneType, `"`)) == "2" {
		if hours, ok := abbreviations[name]; ok {
			return time.FixedZone("", int(hours*60*60))
		}
		return nil
	}
	return zoneNamed(name)
}

// abbreviations are the zones of Europe and North America by their abbreviations in PHP's DateTime, in hours from UTC.
var abbreviations = map[string]float64{
	"UTC": 0, "GMT": 0, "WET": 0, "WEST": 1, "BST": 1, "CET": 1, "CEST": 2, "MET": 1, "MEST": 2, "EET": 2, "EEST": 3, "MSK": 3, "TRT": 3,
	"NST": -3.5, "NDT": -2.5, "AST": -4, "ADT": -3, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7,
}

// zones caches zones by their names, because time.LoadLocation reads a file. It holds at most the zones of the zone database.
var zones sync.Map

// zoneNamed returns the zone of that name in the zone database, or nil.
func zoneNamed(name string) *time.Location {
	if zone, ok := zones.Load(name); ok {
		return zone.(*time.Location)
	}
	// Go also takes "" for UTC and "Local" for this machine's zone. Some systems have that zone as the file localtime. A name with a dot or
	// two slashes can be another path to a zone's file.
	if name == "" || name == "Local" || name == "localtime" || strings.Contains(name, ".") || strings.Contains(name, "//") {
		return nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil
	}
	zones.Store(name, zone)
	return zone
}
