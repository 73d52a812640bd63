package hocon

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Kind is the type of a value.
type Kind uint8

// The types, as in JSON.
const (
	Null Kind = iota
	Boolean
	Number
	String
	Array
	Object
)

var kindNames = [...]string{"null", "boolean", "number", "string", "array", "object"}

// String returns the name of the type: "null", "boolean", "number", and so on.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// article returns the name with its article, for error messages.
func (k Kind) article() string {
	switch k {
	case Null:
		return "null"
	case Array, Object:
		return "an " + k.String()
	}
	return "a " + k.String()
}

func kindOf(k nodeKind) Kind {
	switch k {
	case nodeNull:
		return Null
	case nodeBoolean:
		return Boolean
	case nodeNumber:
		return Number
	case nodeArray:
		return Array
	case nodeObject:
		return Object
	}
	return String
}

// A Value is a resolved value. It knows where it was written and by which path
// it was reached. It does not change, and may be used by several goroutines.
//
// Values may be secrets, so nothing prints them by accident: String gives no
// content, and printers that use reflection, as %#v, testify and Gomega do, find
// a function.
type Value struct {
	content func() *content
}

// content is what a Value has.
type content struct {
	*data
	from   *Value // the container that the value was reached from; nil for the root
	step   string // its key or index there
	index  bool   // step is an index
	at     place  // of its key
	secret bool   // must not appear in errors
}

func newValue(c content) *Value { return &Value{content: func() *content { return &c }} }

// String returns the type and the position of the value, "string at
// overcast.conf:3:12", and never what it is: that may be a secret. [Value.Text]
// returns the content.
func (v *Value) String() string { return fmt.Sprintf("%s at %s", v.Kind(), v.Position()) }

// Kind returns the type of the value. A string that looks like a number is a
// String, and an object with numeric keys is an Object.
func (v *Value) Kind() Kind { return v.content().kind }

// Position returns where the value was written. For the value of a substitution
// that is where the substitution found it; for a concatenation, the place of its
// first part; for an environment variable, the place of the substitution.
func (v *Value) Position() Position { return v.content().position() }

// KeyPosition returns where the key of the value was written, or the position of
// the value if it has no key.
func (v *Value) KeyPosition() Position {
	if c := v.content(); c.at.src != nil {
		return c.at.position()
	}
	return v.Position()
}

// Path returns the path expression that leads from the root to the value, as in
// "nat_host.SSH.timeout" or "hosts[2]". It is empty for the root.
func (v *Value) Path() string {
	var steps []string
	for c := v.content(); c.from != nil; c = c.from.content() {
		switch {
		case c.index:
			steps = append(steps, "["+c.step+"]")
		case c.from.content().from == nil:
			steps = append(steps, renderElement(c.step))
		default:
			steps = append(steps, "."+renderElement(c.step))
		}
	}
	slices.Reverse(steps)
	return strings.Join(steps, "")
}

// field returns the value of the i-th key of an object.
func (v *Value) field(i int) *Value {
	c := v.content()
	f := c.keys.fields[i]
	return newValue(content{data: c.elements[i], from: v, step: f.key, at: f.place, secret: c.secret})
}

// Get follows keys through objects. It returns false if there is no such value.
// Without keys it returns v.
func (v *Value) Get(keys ...string) (*Value, bool) {
	for _, key := range keys {
		c := v.content()
		if c.kind != Object {
			return nil, false
		}
		i := c.keys.find(key)
		if i < 0 {
			return nil, false
		}
		v = v.field(i)
	}
	return v, true
}

// Lookup follows a path expression, as in `SSH.url` or `hosts."a.b"`. It returns
// false if there is no such value, or if path is not a path expression.
func (v *Value) Lookup(path string) (*Value, bool) {
	keys, err := parsePath(path)
	if err != nil {
		return nil, false
	}
	return v.Get(keys...)
}

// Keys returns the keys of an object in the order of the file. It is nil for
// other types.
func (v *Value) Keys() []string {
	c := v.content()
	if c.kind != Object {
		return nil
	}
	keys := make([]string, len(c.elements))
	for i := range keys {
		keys[i] = c.keys.fields[i].key
	}
	return keys
}

// Elements returns the elements of an array. For an object it returns the values
// of its numeric keys in the order of the numbers (specification: "Conversion of
// numerically-indexed objects to arrays"). It fails with *[ValueError] for other
// types, and for an object without numeric keys.
func (v *Value) Elements() ([]*Value, error) {
	c := v.content()
	var elements []*Value
	switch c.kind {
	case Array:
		elements = make([]*Value, len(c.elements))
		for i, d := range c.elements {
			elements[i] = newValue(content{data: d, from: v, step: strconv.Itoa(i), index: true, secret: c.secret})
		}
	case Object:
		for _, i := range indexOrder(c.keys.fields) {
			elements = append(elements, v.field(i))
		}
	}
	if elements == nil {
		return nil, v.isNot("an array")
	}
	return elements, nil
}

// Invalid returns the error of a value below v that a program does not accept.
// Its position is that of the value at path, or of v if that is missing.
func (v *Value) Invalid(path, format string, args ...any) *ValueError {
	at := v.Position()
	if value, ok := v.Lookup(path); ok {
		at = value.Position()
	}
	if v.Path() != "" {
		path = v.Path() + "." + path
	}
	return &ValueError{Pos: at, Path: path, Msg: fmt.Sprintf(format, args...)}
}

// MarshalJSON returns the value as JSON, with keys in the order of the file.
// Numbers are as they were written, except for forms that JSON does not have:
// 007 becomes 7, and .5 becomes 0.5.
func (v *Value) MarshalJSON() ([]byte, error) {
	d := v.content().data
	return d.appendJSON(make([]byte, 0, 64*min(d.size(), 1<<20))), nil
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
		b = append(b, quote(d.keys.fields[i].key)...)
		b = append(b, ':')
		b = element.appendJSON(b)
	}
	return append(b, '}')
}

// quote returns a JSON string.
func quote(s string) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(s); err != nil {
		panic(err) // encoding/json can encode every string
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// jsonNumber returns what isNumber accepts as a JSON number.
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
