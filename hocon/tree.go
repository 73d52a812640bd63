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

// A node is a value as it was written, substitutions and all. Once parsed,
// nodes do not change, so that documents can share them and be resolved at the
// same time.
type node struct {
	place
	kind nodeKind
	// selfReferring marks a definition that has a substitution for its own
	// path, as a = ${a} [1] and a += 1 do.
	selfReferring bool
	// closed marks a container without substitutions: it is what it is.
	closed bool
	text   string // of a scalar
	*more         // nil for scalars, which are most
}

// more is what nodes have that are no scalars.
type more struct {
	parts  []*node // elements of an array, parts of a concatenation
	object *object
	subst  *substitution
	owner  *owner // nil for objects that were merged from two documents
	number int    // among the owner's
}

// An owner numbers the nodes of one document that are no scalars, so that the
// resolver can remember what became of them in a slice.
type owner struct{ count int }

func (o *owner) own(m *more) *more {
	m.owner, m.number = o, o.count
	o.count++
	return m
}

// pending tells whether the resolver has to find out what the node is.
func (n *node) pending() bool { return n.kind == nodeSubstitution || n.kind == nodeConcat }

// A substitution in an included file is looked up below the place of the
// include first.
type substitution struct {
	path     []string // as written
	fixed    []string // with the place of the include before it; nil if the same
	optional bool
	list     bool // "${X[]}"
}

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

// An object keeps its fields in the order of their first definition. The index
// is there when a linear search would be slow.
type object struct {
	fields []*field
	index  *keyIndex
	room   [4]*field // for the fields of small objects
}

// A field has all the definitions of a key that may still matter, in order:
// each may be merged onto, or refer to, those before it.
type field struct {
	place
	key  string
	defs []*node
	only [1]*node // room for what most fields have
}

func (o *object) get(key string) *field {
	if i := findField(o.fields, o.index, key); i >= 0 {
		return o.fields[i]
	}
	return nil
}

// put appends a field whose key is new.
func (o *object) put(f *field) {
	if o.fields == nil {
		o.fields = o.room[:0]
	}
	o.fields = append(o.fields, f)
	switch {
	case o.index != nil:
		o.index.add(f.key, len(o.fields)-1)
	case len(o.fields) >= indexFrom:
		o.index = newKeyIndex(o.fields)
	}
}

// A fieldMaker makes fields by the hundred, which is less work than one by one.
type fieldMaker struct {
	*owner
	ready []field
}

func (m *fieldMaker) field(key string, at place, def *node) *field {
	if len(m.ready) == 0 {
		m.ready = make([]field, 64)
	}
	f := &m.ready[0]
	m.ready = m.ready[1:]
	f.key, f.place = key, at
	f.only[0] = def
	f.defs = f.only[:]
	return f
}

// define adds a definition to a key. It changes o, and objects in it.
func (o *object) define(m *fieldMaker, key string, at place, def *node) {
	if f := o.get(key); f != nil {
		f.define(def)
		return
	}
	o.put(m.field(key, at, def))
}

// descend gives the object that fields of key are to be put into.
func (o *object) descend(m *fieldMaker, key string, at place) *object {
	if f := o.get(key); f != nil {
		if top := f.defs[len(f.defs)-1]; top.kind == nodeObject {
			return top.object
		}
	}
	inner := &node{place: at, kind: nodeObject, more: m.own(&more{object: &object{}})}
	o.define(m, key, at, inner)
	return inner.object
}

// define puts a definition on top of the others. A value that is no object
// hides all below it, and two objects next to each other become one.
func (f *field) define(def *node) {
	top := f.defs[len(f.defs)-1]
	switch {
	case def.pending():
		f.defs = append(f.defs, def)
	case def.kind != nodeObject:
		f.defs = append(f.defs[:0], def)
	case top.kind == nodeObject:
		top.object.absorb(def.object)
	default:
		f.defs = append(f.defs, def)
	}
}

// absorb merges upper, which nobody else has, onto o, changing both.
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

// close finds out which containers are closed, n among them.
func (n *node) close() bool {
	switch n.kind {
	case nodeSubstitution:
		return false
	case nodeConcat, nodeArray:
		closed := n.kind == nodeArray
		for _, part := range n.parts {
			closed = part.close() && closed
		}
		n.closed = closed
		return closed
	case nodeObject:
		n.closed = true
		for _, f := range n.object.fields {
			for _, def := range f.defs {
				n.closed = def.close() && n.closed
			}
		}
		return n.closed
	}
	return true
}

// merged is upper merged onto lower, neither of them changed.
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

// under is a new field: f with the definitions of over on top.
func (f *field) under(over *field) *field {
	m := &field{place: over.place, key: f.key, defs: slices.Clone(f.defs)}
	for _, def := range over.defs {
		top := m.defs[len(m.defs)-1]
		switch {
		case def.pending():
			m.defs = append(m.defs, def)
		case def.kind != nodeObject:
			m.defs = append(m.defs[:0], def)
		case top.kind == nodeObject:
			m.defs[len(m.defs)-1] = &node{
				place: def.place, kind: nodeObject, closed: top.closed && def.closed,
				more: &more{object: merged(top.object, def.object)},
			}
		default:
			m.defs = append(m.defs, def)
		}
	}
	return m
}
