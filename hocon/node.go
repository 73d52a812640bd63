package hocon

import "slices"

type nodeKind uint8

const (
	nodeNull nodeKind = iota
	nodeBoolean
	nodeNumber
	nodeString
	nodeSpace // white space between the parts of a concatenation
	nodeArray
	nodeObject
	nodeSubstitution
	nodeConcat
)

// A node is a value as it was written: an element of the syntax tree, with
// substitutions not resolved. Nodes do not change after parsing, so documents
// share them and can be resolved at the same time.
type node struct {
	place
	kind nodeKind
	// selfReferring marks a definition with a substitution for its own path, as
	// in a = ${a} [1] and a += 1 (specification: "Self-Referential Substitutions").
	selfReferring bool
	// constant marks an array or object without substitutions.
	constant bool
	text     string // of a scalar
	*compound
}

// A compound is what all nodes but scalars have. It is separate because most
// nodes are scalars.
type compound struct {
	parts  []*node       // of an array or a concatenation
	object *object       // of an object
	subst  *substitution // of a substitution
}

// unresolved reports whether only the resolver can tell the node's type.
func (n *node) unresolved() bool { return n.kind == nodeSubstitution || n.kind == nodeConcat }

// newCompound returns a node that is not a scalar.
func newCompound(at place, kind nodeKind, c compound) *node {
	n := &struct {
		node
		compound
	}{node{place: at, kind: kind}, c}
	n.node.compound = &n.compound
	return &n.node
}

// newObject returns the node of an object without fields.
func newObject(at place) *node {
	n := &struct {
		node
		compound
		object
	}{node: node{place: at, kind: nodeObject}}
	n.node.compound, n.compound.object = &n.compound, &n.object
	return &n.node
}

// A substitution is ${path}. One in an included file is looked up below the
// place of the include first (specification: "Include semantics: substitution").
type substitution struct {
	path     []string // as written
	prefix   []string // path at which the file of the substitution is included
	optional bool     // ${?path}
	list     bool     // ${path[]}
}

// String returns the substitution as HOCON.
func (s *substitution) String() string {
	mark, suffix := "", ""
	if s.optional {
		mark = "?"
	}
	if s.list {
		suffix = "[]"
	}
	return "${" + mark + renderPath(s.path) + suffix + "}"
}

// An object has fields in the order of their first definition.
type object struct {
	fields []*field
	index  map[string]int // position in fields by key; nil while a linear search is fast
}

// indexFrom is the number of fields from which an object has an index.
const indexFrom = 17

// A field is a key with all its definitions that may still matter, the first
// one first. Each may be merged onto, or refer to, those before it.
type field struct {
	place // of the key
	key   string
	defs  []*node
	first [1]*node // room for the only definition of most fields
}

func newField(at place, key string, def *node) *field {
	f := &field{place: at, key: key, first: [1]*node{def}}
	f.defs = f.first[:]
	return f
}

// find returns the position of a key in fields, or -1.
func (o *object) find(key string) int {
	if o.index != nil {
		if i, ok := o.index[key]; ok {
			return i
		}
		return -1
	}
	for i, f := range o.fields {
		if f.key == key {
			return i
		}
	}
	return -1
}

// get returns the field of a key, or nil.
func (o *object) get(key string) *field {
	if i := o.find(key); i >= 0 {
		return o.fields[i]
	}
	return nil
}

// put appends a field whose key is new.
func (o *object) put(f *field) {
	if o.fields == nil {
		o.fields = make([]*field, 0, 4)
	}
	o.fields = append(o.fields, f)
	switch {
	case o.index != nil:
		o.index[f.key] = len(o.fields) - 1
	case len(o.fields) == indexFrom:
		o.index = make(map[string]int, 2*indexFrom)
		for i, f := range o.fields {
			o.index[f.key] = i
		}
	}
}

// define adds a definition of a key. It changes o, and objects in it.
func (o *object) define(key string, at place, def *node) {
	if f := o.get(key); f != nil {
		f.define(def)
		return
	}
	o.put(newField(at, key, def))
}

// descend returns the object below a key, and defines an empty one if the last
// definition of the key is not an object.
func (o *object) descend(key string, at place) *object {
	if f := o.get(key); f != nil {
		if top := f.defs[len(f.defs)-1]; top.kind == nodeObject {
			return top.object
		}
	}
	inner := newObject(at)
	o.define(key, at, inner)
	return inner.object
}

// define adds a definition. A value that is not an object hides all earlier
// ones, and two adjacent objects become one (specification: "Duplicate keys and
// object merging").
func (f *field) define(def *node) {
	top := f.defs[len(f.defs)-1]
	switch {
	case def.unresolved():
		f.defs = append(f.defs, def)
	case def.kind != nodeObject:
		f.defs = append(f.defs[:0], def)
	case top.kind == nodeObject:
		top.object.absorb(def.object)
	default:
		f.defs = append(f.defs, def)
	}
}

// absorb merges upper onto o. It changes both: upper must not be used again.
func (o *object) absorb(upper *object) {
	for _, f := range upper.fields {
		below := o.get(f.key)
		if below == nil {
			o.put(f)
			continue
		}
		for _, def := range f.defs {
			below.define(def)
		}
	}
}

// markConstant sets constant in n and everything below it. It reports whether
// n contains no substitution.
func (n *node) markConstant() bool {
	switch n.kind {
	case nodeSubstitution:
		return false
	case nodeConcat, nodeArray:
		constant := n.kind == nodeArray
		for _, part := range n.parts {
			constant = part.markConstant() && constant
		}
		n.constant = constant
		return constant
	case nodeObject:
		n.constant = true
		for _, f := range n.object.fields {
			for _, def := range f.defs {
				n.constant = def.markConstant() && n.constant
			}
		}
		return n.constant
	}
	return true
}

// merged returns a new object: upper merged onto lower. Neither changes.
func merged(lower, upper *object) *object {
	o := &object{fields: make([]*field, 0, len(lower.fields)+len(upper.fields))}
	for _, f := range lower.fields {
		if over := upper.get(f.key); over != nil {
			o.put(f.under(over))
		} else {
			o.put(f)
		}
	}
	for _, f := range upper.fields {
		if lower.get(f.key) == nil {
			o.put(f)
		}
	}
	return o
}

// under returns a new field: f with the definitions of over added to it.
func (f *field) under(over *field) *field {
	m := &field{place: over.place, key: f.key, defs: slices.Clone(f.defs)}
	for _, def := range over.defs {
		top := m.defs[len(m.defs)-1]
		switch {
		case def.unresolved():
			m.defs = append(m.defs, def)
		case def.kind != nodeObject:
			m.defs = append(m.defs[:0], def)
		case top.kind == nodeObject:
			m.defs[len(m.defs)-1] = mergedNode(top, def)
		default:
			m.defs = append(m.defs, def)
		}
	}
	return m
}

// mergedNode returns a new node: the object upper merged onto the object lower.
func mergedNode(lower, upper *node) *node {
	n := newCompound(upper.place, nodeObject, compound{object: merged(lower.object, upper.object)})
	n.constant = lower.constant && upper.constant
	return n
}
