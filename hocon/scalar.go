package hocon

import (
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"
)

// errorf is a ValueError about v.
func (v *Value) errorf(format string, args ...any) error {
	return &ValueError{Pos: v.Position(), Path: v.shownPath(), Msg: fmt.Sprintf(format, args...)}
}

// isNot is the error of a value that should have been something else.
func (v *Value) isNot(wanted string) error {
	if v.data.kind == Null || v.data.kind >= Array {
		return v.errorf("%s is not %s", v.data.kind.article(), wanted)
	}
	return v.errorf("%s is not %s", v.shown(), wanted)
}

// shown is a scalar as it stands in a message.
func (v *Value) shown() string {
	if v.hidden() {
		return "what is given"
	}
	if v.data.kind == String {
		return strconv.Quote(abbreviate(v.data.text))
	}
	return abbreviate(v.data.text)
}

// hidden says whether a message must not show a scalar.
func (v *Value) hidden() bool { return v.secret || mayHoldSecret(v.data.text) }

// shownPath is the path as it stands in a message. It ends before a key that
// is not to be shown.
func (v *Value) shownPath() string {
	shown := v
	for at := v; at.from != nil; at = at.from {
		if mayHoldSecret(at.step) {
			shown = at.from
		}
	}
	return shown.Path()
}

var passwordGiven = regexp.MustCompile(`(?i)(?:password|passphrase)s?=`)

// mayHoldSecret says whether a text looks like a URL with a password in it, or
// a parameter of one. What a program means by its keys is not known here, and
// such a text may have been given for any of them by mistake.
func mayHoldSecret(text string) bool {
	if strings.Contains(text, "://") && (strings.Contains(text, "@") || strings.Contains(strings.ToLower(text), "pass")) {
		return true
	}
	return passwordGiven.MatchString(text)
}

// String gives strings, and numbers and booleans as they were written. It
// fails with *ValueError for null, arrays and objects.
func (v *Value) String() (string, error) {
	if v.data.kind == Null || v.data.kind >= Array {
		return "", v.isNot("a string")
	}
	return v.data.text, nil
}

// Bool gives booleans, and of strings "true", "yes", "on", "false", "no" and
// "off". It fails with *ValueError for all else.
func (v *Value) Bool() (bool, error) {
	if v.data.kind == Boolean || v.data.kind == String {
		switch v.data.text {
		case "true", "yes", "on":
			return true, nil
		case "false", "no", "off":
			return false, nil
		}
	}
	return false, v.isNot("true or false")
}

// Int gives numbers, and strings that are numbers, if they are whole and fit
// 64 bits. It fails with *ValueError for all else; nothing is rounded.
func (v *Value) Int() (int64, error) {
	number, ok := v.rational(v.data.text)
	if !ok {
		return 0, v.isNot("a whole number")
	}
	if !number.IsInt() {
		return 0, v.isNot("a whole number")
	}
	if !number.Num().IsInt64() {
		return 0, v.errorf("%s does not fit 64 bits", v.shown())
	}
	return number.Num().Int64(), nil
}

// rational reads text as an exact number, if the type of v may be one. What
// has more digits than any real number needs, or an exponent that stands for
// them, is refused: it could keep us busy, or fill memory.
func (v *Value) rational(text string) (*big.Rat, bool) {
	if v.data.kind != Number && v.data.kind != String {
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

// Float gives numbers, and strings that are numbers. It fails with *ValueError
// for all else, and for numbers that are too large.
func (v *Value) Float() (float64, error) {
	text := strings.TrimPrefix(v.data.text, "+")
	if v.data.kind != Number && v.data.kind != String || !isNumber(text) {
		return 0, v.isNot("a number")
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, v.errorf("%s is too large a number", v.shown())
	}
	return f, nil
}

// List is Elements for a value that must have them. It fails with *ValueError
// for other types, and for an object that has no numeric keys.
func (v *Value) List() ([]*Value, error) {
	if elements := v.Elements(); elements != nil {
		return elements, nil
	}
	return nil, v.isNot("an array")
}

// Elements are those of an array, or the values of an object's numeric keys in
// the order of the numbers. It is nil for other types, and for an object that
// has no such keys.
func (v *Value) Elements() []*Value {
	switch v.data.kind {
	case Array:
		elements := make([]*Value, len(v.data.elements))
		for i, d := range v.data.elements {
			elements[i] = &Value{data: d, from: v, step: strconv.Itoa(i), index: true, secret: v.secret}
		}
		return elements
	case Object:
		var elements []*Value
		for _, i := range indexOrder(v.data.keys()) {
			elements = append(elements, v.child(i))
		}
		return elements
	}
	return nil
}

// MarshalJSON writes the value with keys in the order of the file. Numbers are
// as they were written, but for what JSON does not have: 007 becomes 7, and
// .5 in a number is 0.5.
func (v *Value) MarshalJSON() ([]byte, error) {
	return v.data.appendJSON(make([]byte, 0, 64*min(v.data.size(), 1<<20))), nil
}

func (d *data) appendJSON(b []byte) []byte {
	switch d.kind {
	case Null:
		return append(b, "null"...)
	case Boolean:
		return append(b, d.text...)
	case Number:
		return append(b, jsonNumber(d.text)...)
	case String:
		return append(b, quote(d.text)...)
	case Array:
		b = append(b, '[')
		for i, element := range d.elements {
			if i > 0 {
				b = append(b, ',')
			}
			b = element.appendJSON(b)
		}
		return append(b, ']')
	}
	b = append(b, '{')
	for i, element := range d.elements {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, quote(d.fields[i].key)...)
		b = append(b, ':')
		b = element.appendJSON(b)
	}
	return append(b, '}')
}

// quote writes a string as JSON does.
func quote(s string) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(s); err != nil {
		return strconv.Quote(s) // a string cannot fail
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// jsonNumber writes what isNumber accepts as JSON writes it.
func jsonNumber(s string) string {
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	digits, rest := cutDigits(s)
	whole := strings.TrimLeft(s[:digits], "0")
	if whole == "" {
		whole = "0"
	}
	if strings.HasPrefix(rest, ".") {
		if fraction, _ := cutDigits(rest[1:]); fraction == 0 {
			rest = rest[1:]
		}
	}
	return sign + whole + rest
}
