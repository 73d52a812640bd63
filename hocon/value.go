package hocon

import (
	"fmt"
	"slices"
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

// String is the name of the type: "null", "boolean", "number", ...
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// article is the name as it stands in a sentence.
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

// data is a resolved value. Where substitutions refer to the same value, its
// data is shared.
type data struct {
	place
	kind Kind
	text string // of a scalar, as written
	*contents
}

// contents are what an array or object has.
type contents struct {
	elements []*data
	fields   []*field  // of an object, beside elements: the keys and where they are
	index    *keyIndex // of fields, if they are many
	weight   int64     // values in it, itself included
	height   int       // containers in each other, itself included
}

func (d *data) size() int64 {
	if d.contents == nil {
		return 1
	}
	return d.weight
}

func (c *contents) append(element *data) {
	c.elements = append(c.elements, element)
	c.weight++
	if element.contents != nil {
		c.weight += element.weight - 1
		c.height = max(c.height, element.height+1)
	}
}

func (d *data) keys() []string {
	if d.kind != Object {
		return nil
	}
	keys := make([]string, len(d.fields))
	for i, f := range d.fields {
		keys[i] = f.key
	}
	return keys
}

// A Value is a resolved value, and knows where it came from and by which path
// it was reached. It does not change.
type Value struct {
	data  *data
	from  *Value // that it was reached from; nil for the root
	step  string // key or index below from
	index bool   // step is an index
	at    place  // of the key that has the value

	secret bool // not to be shown in errors
}

// Format is where the value is, whatever the verb: what it is may be a secret.
func (v *Value) Format(to fmt.State, _ rune) { fmt.Fprintf(to, "%s at %v", v.Kind(), v.Position()) }

// GomegaString is the same for gomega, which would take the value apart.
func (v *Value) GomegaString() string { return fmt.Sprint(v) }

// Kind is the type of the value. Strings that look like numbers are strings,
// and an object is an object even where Elements gives elements of it.
func (v *Value) Kind() Kind { return v.data.kind }

// Position is where the value was written: for one that a substitution gave,
// where that found it; for a concatenation, where it starts; for one from the
// environment, that of the substitution.
func (v *Value) Position() Position { return v.data.position() }

// KeyPosition is where the key that has this value was written, or that of the
// value where there is no key.
func (v *Value) KeyPosition() Position {
	if v.at.src == nil {
		return v.Position()
	}
	return v.at.position()
}

// Path is the path expression by which the value was reached from the root,
// "nat_host.SSH.timeout"; elements of arrays are shown as "hosts[2]". It is
// empty for the root.
func (v *Value) Path() string {
	var steps []string
	for ; v.from != nil; v = v.from {
		switch {
		case v.index:
			steps = append(steps, "["+v.step+"]")
		case v.from.from == nil:
			steps = append(steps, renderElement(v.step))
		default:
			steps = append(steps, "."+renderElement(v.step))
		}
	}
	slices.Reverse(steps)
	return strings.Join(steps, "")
}

func (v *Value) child(i int) *Value {
	return &Value{data: v.data.elements[i], from: v, step: v.data.fields[i].key, at: v.data.fields[i].place, secret: v.secret}
}

// Get follows keys, each taken as it is, through objects. It gives false if
// there is no such value. No keys give v itself.
func (v *Value) Get(keys ...string) (*Value, bool) {
	for _, key := range keys {
		if v.data.kind != Object {
			return nil, false
		}
		i := findField(v.data.fields, v.data.index, key)
		if i < 0 {
			return nil, false
		}
		v = v.child(i)
	}
	return v, true
}

// Lookup follows a path expression, `SSH.url` or `hosts."a.b"`. It gives false
// if there is no such value, or if it is no path expression.
func (v *Value) Lookup(path string) (*Value, bool) {
	keys, err := parsePath(path)
	if err != nil {
		return nil, false
	}
	return v.Get(keys...)
}

// Keys are those of an object in the order of the file, nil for other types.
func (v *Value) Keys() []string { return v.data.keys() }

// Invalid is the error for a value below v that somebody finds is not what it
// must be: at its place, or at that of v where it is missing.
func (v *Value) Invalid(path, format string, args ...any) *ValueError {
	at := v.Position()
	if value, ok := v.Lookup(path); ok {
		at = value.Position()
	}
	below := path
	if v.Path() != "" {
		below = v.Path() + "." + path
	}
	return &ValueError{Pos: at, Path: below, Msg: fmt.Sprintf(format, args...)}
}
