package hocon

import (
	"math/big"
	"strings"
	"time"
	"unicode"
)

// durations are the units of the specification, which are case sensitive.
var durations = unitTable(map[string]time.Duration{
	"ns nano nanos nanosecond nanoseconds":     time.Nanosecond,
	"us micro micros microsecond microseconds": time.Microsecond,
	"ms milli millis millisecond milliseconds": time.Millisecond,
	"s second seconds":                         time.Second,
	"m minute minutes":                         time.Minute,
	"h hour hours":                             time.Hour,
	"d day days":                               24 * time.Hour,
})

func unitTable[T any](families map[string]T) map[string]T {
	table := make(map[string]T)
	for names, unit := range families {
		for name := range strings.FieldsSeq(names) {
			table[name] = unit
		}
	}
	return table
}

// number cuts a value into an exact number and the name of a unit, "" if it
// has none. Spaces around both do not count.
func (v *Value) number() (number *big.Rat, unit string, ok bool) {
	if v.data.kind != Number && v.data.kind != String {
		return nil, "", false
	}
	text := strings.TrimFunc(v.data.text, space)
	digits := strings.TrimRightFunc(text, unicode.IsLetter)
	unit = text[len(digits):]
	number, ok = v.rational(strings.TrimRightFunc(digits, space))
	return number, unit, ok
}

func space(r rune) bool {
	return r < 0x80 && class[r] == classSpace || r >= 0x80 && wideSpace(r)
}

var unitNames = map[time.Duration]string{
	time.Nanosecond: "nanoseconds", time.Microsecond: "microseconds", time.Millisecond: "milliseconds",
	time.Second: "seconds", time.Minute: "minutes", time.Hour: "hours", 24 * time.Hour: "days",
}

// Duration reads a number with a unit of time, "2 minutes" or 0.5s; one
// without is a number of defaultUnit. What is less than a nanosecond is cut
// off. It fails with *ValueError for all else, and for more than 292 years.
func (v *Value) Duration(defaultUnit time.Duration) (time.Duration, error) {
	wanted := "a duration"
	if name := unitNames[defaultUnit]; name != "" {
		wanted = "a number of " + name + " or a duration"
	}
	number, unit, ok := v.number()
	if !ok {
		return 0, v.isNot(wanted)
	}
	length := defaultUnit
	if unit != "" {
		if length, ok = durations[unit]; !ok {
			return 0, v.isNot(wanted)
		}
	}
	nanoseconds := truncate(number.Mul(number, new(big.Rat).SetInt64(int64(length))))
	if !nanoseconds.IsInt64() {
		return 0, v.errorf("%s is too long a duration", v.shown())
	}
	return time.Duration(nanoseconds.Int64()), nil
}

func truncate(r *big.Rat) *big.Int { return new(big.Int).Quo(r.Num(), r.Denom()) }

// sizes are the units of the specification. Single letters are powers of two.
var sizes = sizeTable()

func sizeTable() map[string]*big.Int {
	table := unitTable(map[string]*big.Int{"B b byte bytes": big.NewInt(1)})
	ten, two := big.NewInt(1), big.NewInt(1)
	for i, letter := range "KMGTPEZY" {
		ten = new(big.Int).Mul(ten, big.NewInt(1000))
		two = new(big.Int).Lsh(two, 10)
		upper, lower := string(letter), strings.ToLower(string(letter))
		decimal := strings.Fields("kilo mega giga tera peta exa zetta yotta")[i] + "byte"
		binary := strings.Fields("kibi mebi gibi tebi pebi exbi zebi yobi")[i] + "byte"
		short := upper + "B"
		if letter == 'K' {
			short = "kB"
		}
		for _, name := range []string{short, decimal, decimal + "s"} {
			table[name] = ten
		}
		for _, name := range []string{upper, lower, upper + "i", upper + "iB", binary, binary + "s"} {
			table[name] = two
		}
	}
	return table
}

// Bytes reads a number with a unit of size, "512K" (powers of two) or "1 kB"
// (powers of ten); one without is a number of bytes. What is less than a byte
// is cut off. It fails with *ValueError for all else, for negative sizes, and
// for those that do not fit 64 bits, as any number of zettabytes.
func (v *Value) Bytes() (int64, error) {
	const wanted = "a number of bytes or a size"
	number, unit, ok := v.number()
	if !ok {
		return 0, v.isNot(wanted)
	}
	if unit != "" {
		factor, ok := sizes[unit]
		if !ok {
			return 0, v.isNot(wanted)
		}
		number.Mul(number, new(big.Rat).SetInt(factor))
	}
	if number.Sign() < 0 {
		return 0, v.errorf("%s is a negative size", v.shown())
	}
	bytes := truncate(number)
	if !bytes.IsInt64() {
		return 0, v.errorf("%s does not fit 64 bits as a number of bytes", v.shown())
	}
	return bytes.Int64(), nil
}

// A Period is a span of dates, as java.time.Period is.
type Period struct{ Years, Months, Days int }

var periods = unitTable(map[string]Period{
	"d day days":        {Days: 1},
	"w week weeks":      {Days: 7},
	"m mo month months": {Months: 1},
	"y year years":      {Years: 1},
})

// Period reads a whole number with a unit of dates, "2 weeks"; one without is
// a number of days. It fails with *ValueError for all else, and for numbers
// that do not fit 32 bits.
func (v *Value) Period() (Period, error) {
	const wanted = "a number of days or a period"
	number, unit, ok := v.number()
	if !ok || !number.IsInt() {
		return Period{}, v.isNot(wanted)
	}
	one := Period{Days: 1}
	if unit != "" {
		if one, ok = periods[unit]; !ok {
			return Period{}, v.isNot(wanted)
		}
	}
	n := number.Num().Int64()
	if !number.Num().IsInt64() || n*7/7 != n || int64(int32(n*7)) != n*7 {
		return Period{}, v.errorf("%s is too long a period", v.shown())
	}
	return Period{Years: one.Years * int(n), Months: one.Months * int(n), Days: one.Days * int(n)}, nil
}
