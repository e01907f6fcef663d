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
// for what can't be read, as a date outside the years 1 to 9999 can't: a Timestamp does not hold it.
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

// parseDate reads a date. Where it reports false, the form is zeroDate or emptyString for no date, and any other for what can't be read.
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

// parseDateString reads a date in a JSON string. Its zone is that of a date without an offset.
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

// parseDateObject reads PHP's {"date":…,"timezone_type":…,"timezone":…} and MongoDB's {"$date":…}. An object with other members is no date,
// so that none of them is lost.
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

// isZeroDate reports whether a string is what MySQL and PHP have for no date: 0000-00-00, which PHP turns into -0001-11-30, with or without
// a time.
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

// A number is in milliseconds from millisecondsFrom on, which is March 1973, and before in seconds, which reach to the year 5138.
var millisecondsFrom = big.NewRat(100_000_000_000, 1)

// maxEpochBytes is more than any date needs, and maxExponentBytes likewise. Without bounds, a short number could take all memory.
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

// parseISO reads a date of ISO 8601: with T or a blank before the time, with or without time, seconds, a fraction and an offset. What goes
// beyond nanoseconds is cut off. The form says what is missing.
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
	// A leap second is the first of the next minute, as elsewhere in Go.
	if !c.ok || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 || second > 60 {
		return t, form, false
	}
	return time.Date(year, time.Month(month), day, hour, minute, second-offset, nanosecond, zone), form, true
}

func daysIn(year, month int) int {
	return time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// dateCursor takes a date apart. Once something is not as it has to be, ok is false.
type dateCursor struct {
	rest []byte
	ok   bool
}

// digits takes a number of that many digits.
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

// accept takes one of these characters, if one is next.
func (c *dateCursor) accept(characters string) bool {
	if len(c.rest) == 0 || strings.IndexByte(characters, c.rest[0]) < 0 {
		return false
	}
	c.rest = c.rest[1:]
	return true
}

func (c *dateCursor) expect(characters string) { c.ok = c.accept(characters) && c.ok }

// fraction takes the digits of a second's fraction, and returns its nanoseconds.
func (c *dateCursor) fraction() int {
	nanoseconds, unit := 0, int(time.Second)
	for first := true; first || len(c.rest) > 0 && c.rest[0] >= '0' && c.rest[0] <= '9'; first = false {
		unit /= 10
		nanoseconds += c.digits(1) * unit
	}
	return nanoseconds
}

// offset takes an offset up to the end of the text, and returns its seconds.
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

// phpZone returns the zone of PHP's timezone_type 1 (an offset), 2 (an abbreviation) or 3 (a name), or nil when it is not known. Without
// both it is UTC.
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

// abbreviations are zones by the abbreviations that PHP's DateTime gives them, in hours from UTC: those of Europe and North America.
var abbreviations = map[string]float64{
	"UTC": 0, "GMT": 0, "WET": 0, "WEST": 1, "BST": 1, "CET": 1, "CEST": 2, "MET": 1, "MEST": 2, "EET": 2, "EEST": 3, "MSK": 3, "TRT": 3,
	"NST": -3.5, "NDT": -2.5, "AST": -4, "ADT": -3, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7,
}

// zones caches the zones that were named, by their names: to load one reads a file. It holds no more than the zone database has.
var zones sync.Map

// zoneNamed returns a zone of the zone database, or nil when it has none of that name.
func zoneNamed(name string) *time.Location {
	if zone, ok := zones.Load(name); ok {
		return zone.(*time.Location)
	}
	// Go also takes "" for UTC and "Local" for this machine's zone, and some systems have that as the file localtime. A name with a dot or two
	// slashes can be another path to a zone's file.
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
