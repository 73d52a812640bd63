package hocon

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/overcast-go/overcast/internal/redact"
)

// errorf returns a ValueError about v.
func (v *Value) errorf(format string, args ...any) error {
	return &ValueError{Pos: v.Position(), Path: v.shownPath(), Msg: fmt.Sprintf(format, args...)}
}

// isNot is the error of a value of another type than wanted.
func (v *Value) isNot(wanted string) error {
	if kind := v.Kind(); kind == Null || kind >= Array {
		return v.errorf("%s is not %s", kind.article(), wanted)
	}
	return v.errorf("%s is not %s", v.shown(), wanted)
}

// shown returns a scalar as it appears in a message.
func (v *Value) shown() string {
	c := v.content()
	if v.hidden() {
		return "the value (hidden)"
	}
	if c.kind == String {
		return strconv.Quote(abbreviate(c.text))
	}
	return abbreviate(c.text)
}

// hidden reports whether a message must not contain a scalar. A URL with a password
// may be given for any key by mistake.
func (v *Value) hidden() bool {
	c := v.content()
	return c.secret || redact.MayHoldSecret(c.text)
}

// shownPath returns the path as it appears in a message. It ends before a key
// that must not appear.
func (v *Value) shownPath() string {
	shown := v
	for c := v.content(); c.from != nil; c = c.from.content() {
		if redact.MayHoldSecret(c.step) {
			shown = c.from
		}
	}
	return shown.Path()
}

// The conversions follow the specification: "Automatic type conversions".

// Text returns a string, or a number or boolean as it was written. It fails with
// *[ValueError] for other types.
func (v *Value) Text() (string, error) {
	c := v.content()
	if c.kind == Null || c.kind >= Array {
		return "", v.isNot("a string")
	}
	return c.text, nil
}

// Bool returns a boolean, or a string that is "true", "yes", "on", "false", "no"
// or "off". It fails with *[ValueError] for other values.
func (v *Value) Bool() (bool, error) {
	if c := v.content(); c.kind == Boolean || c.kind == String {
		switch c.text {
		case "true", "yes", "on":
			return true, nil
		case "false", "no", "off":
			return false, nil
		}
	}
	return false, v.isNot("true or false")
}

// Int returns a number, or a string that is one. It fails with *[ValueError] for
// other values, and for a number that is not whole or does not fit 64 bits.
func (v *Value) Int() (int64, error) {
	number, ok := v.rational(v.content().text)
	if !ok || !number.IsInt() {
		return 0, v.isNot("a whole number")
	}
	if !number.Num().IsInt64() {
		return 0, v.errorf("%s does not fit 64 bits", v.shown())
	}
	return number.Num().Int64(), nil
}

// rational parses text as an exact number if v is a number or a string. It
// refuses one with more digits than a real number needs, or an exponent that
// means as many: computing with it could take all memory.
func (v *Value) rational(text string) (*big.Rat, bool) {
	if kind := v.Kind(); kind != Number && kind != String {
		return nil, false
	}
	text = strings.TrimPrefix(text, "+")
	if len(text) > 1000 || !isNumber(text) {
		return nil, false
	}
	if _, exponent, ok := strings.Cut(strings.ToLower(text), "e"); ok {
		if e, err := strconv.Atoi(exponent); err != nil || e < -400 || e > 400 {
			return nil, false
		}
	}
	return new(big.Rat).SetString(jsonNumber(text))
}

// Float returns a number, or a string that is one. It fails with *[ValueError]
// for other values, and for a number that is too large.
func (v *Value) Float() (float64, error) {
	c := v.content()
	text := strings.TrimPrefix(c.text, "+")
	if c.kind != Number && c.kind != String || !isNumber(text) {
		return 0, v.isNot("a number")
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, v.errorf("%s is too large a number", v.shown())
	}
	return f, nil
}

// durations are the units of the specification's "Duration units", which are
// case sensitive.
var durations = unitTable(map[string]time.Duration{
	"ns nano nanos nanosecond nanoseconds":     time.Nanosecond,
	"us micro micros microsecond microseconds": time.Microsecond,
	"ms milli millis millisecond milliseconds": time.Millisecond,
	"s second seconds":                         time.Second,
	"m minute minutes":                         time.Minute,
	"h hour hours":                             time.Hour,
	"d day days":                               24 * time.Hour,
})

// unitTable returns a table with an entry for each of the names in a key.
func unitTable[T any](families map[string]T) map[string]T {
	table := make(map[string]T)
	for names, unit := range families {
		for name := range strings.FieldsSeq(names) {
			table[name] = unit
		}
	}
	return table
}

// number splits a value into an exact number and the name of a unit, "" if it
// has none (specification: "Units format").
func (v *Value) number() (number *big.Rat, unit string, ok bool) {
	c := v.content()
	if c.kind != Number && c.kind != String {
		return nil, "", false
	}
	text := strings.TrimFunc(c.text, isSpace)
	digits := strings.TrimRightFunc(text, unicode.IsLetter)
	unit = text[len(digits):]
	number, ok = v.rational(strings.TrimRightFunc(digits, isSpace))
	return number, unit, ok
}

func isSpace(r rune) bool {
	return r < 0x80 && classes[r] == classSpace || r >= 0x80 && wideSpace(r)
}

var unitNames = map[time.Duration]string{
	time.Nanosecond: "nanoseconds", time.Microsecond: "microseconds", time.Millisecond: "milliseconds",
	time.Second: "seconds", time.Minute: "minutes", time.Hour: "hours", 24 * time.Hour: "days",
}

// Duration returns a number with a unit of time, as in "2 minutes" or 0.5s. A
// number without a unit counts in defaultUnit. Fractions of a nanosecond are cut
// off. It fails with *[ValueError] for other values, and for a duration of more
// than 292 years.
func (v *Value) Duration(defaultUnit time.Duration) (time.Duration, error) {
	wanted := "a duration, such as 2 minutes"
	if name := unitNames[defaultUnit]; name != "" {
		wanted = "a number of " + name + " or a duration, such as 30 or 2 minutes"
	}
	number, name, ok := v.number()
	if !ok {
		return 0, v.isNot(wanted)
	}
	unit := defaultUnit
	if name != "" {
		if unit, ok = durations[name]; !ok {
			return 0, v.isNot(wanted)
		}
	}
	nanoseconds := truncate(number.Mul(number, new(big.Rat).SetInt64(int64(unit))))
	if !nanoseconds.IsInt64() {
		return 0, v.errorf("%s is too long a duration", v.shown())
	}
	return time.Duration(nanoseconds.Int64()), nil
}

func truncate(r *big.Rat) *big.Int { return new(big.Int).Quo(r.Num(), r.Denom()) }

// A Size is a number of bytes. [Value.Decode] reads "512M", "20 GB" or a number
// into it, as [Value.Bytes] does.
type Size int64

// sizes are the units of the specification's "Size in bytes format". Single
// letters are powers of two.
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

// Bytes returns a number with a unit of size in bytes: 512K and 512KiB count in
// powers of two, 512kB in powers of ten. A number without a unit is a number of
// bytes. Fractions of a byte are cut off. It fails with *[ValueError] for other
// values, for a negative size, and for one that does not fit 64 bits.
func (v *Value) Bytes() (int64, error) {
	const wanted = "a number of bytes or a size, such as 512 MiB or 20 GB"
	number, name, ok := v.number()
	if !ok {
		return 0, v.isNot(wanted)
	}
	if name != "" {
		unit, ok := sizes[name]
		if !ok {
			return 0, v.isNot(wanted)
		}
		number.Mul(number, new(big.Rat).SetInt(unit))
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
