package hocon

import (
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
)

// A rope is a sequence as a tree of concatenations: joining two takes constant
// time, so that a += 1 written n times takes time proportional to n. Leaves are
// not empty, unless the whole rope is.
type rope[T any] struct {
	leaf        T // if left is nil
	left, right *rope[T]
	size        int // of all leaves
}

func newRope[T any](leaf T, size int) *rope[T] { return &rope[T]{leaf: leaf, size: size} }

// joinRopes concatenates. A size that overflows becomes the largest int.
func joinRopes[T any](left, right *rope[T]) *rope[T] {
	switch {
	case left.size == 0:
		return right
	case right.size == 0:
		return left
	}
	size := left.size + right.size
	if size < left.size {
		size = math.MaxInt
	}
	return &rope[T]{left: left, right: right, size: size}
}

// leaves iterates over the leaves in order. It keeps a stack of its own, because
// the tree can be deeper than the goroutine's may be.
func (t *rope[T]) leaves() iter.Seq[T] {
	return func(yield func(T) bool) {
		for stack := []*rope[T]{t}; len(stack) > 0; {
			top := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			if top.left != nil {
				stack = append(stack, top.right, top.left)
			} else if !yield(top.leaf) {
				return
			}
		}
	}
}

// Layers are literal objects merged onto each other, as a tree. A merge shares
// its parts with others, so it takes constant time.
type layers struct {
	object       *object // of a leaf
	lower, upper *layers
	merged       *mergedObjects // nil until it is needed
}

// flat returns the merged objects of an object. They count as values: many
// objects that are each merged onto the one before have many in total.
func (r *resolver) flat(res *result) (*mergedObjects, error) {
	l := res.layers
	if l.merged != nil {
		return l.merged, nil
	}
	if l.object != nil {
		l.merged = &mergedObjects{objects: []*object{l.object}}
		return l.merged, nil
	}
	objects, err := r.flatten(l, res.place)
	if err != nil {
		return nil, err
	}
	l.merged = &mergedObjects{objects: objects}
	return l.merged, r.takeValues(res.place, int64(len(objects)))
}

// flatten returns the objects of a tree of merges, the uppermost first. One that
// occurs again lower down is left out: it hides itself there.
func (r *resolver) flatten(l *layers, at place) ([]*object, error) {
	seen := make(map[*layers]bool)
	found := make(map[*object]bool)
	var objects []*object
	for stack := []*layers{l}; len(stack) > 0; {
		top := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if seen[top] {
			continue
		}
		seen[top] = true
		known := []*object{top.object}
		switch {
		case top.merged != nil:
			known = top.merged.objects
		case top.object == nil:
			known = nil
			stack = append(stack, top.lower, top.upper)
		}
		if err := r.takeSteps(at, 1+len(known)); err != nil {
			return nil, err
		}
		for _, o := range known {
			if !found[o] {
				found[o] = true
				objects = append(objects, o)
			}
		}
	}
	return objects, nil
}

// mergedObjects are literal objects merged onto each other, the uppermost first.
type mergedObjects struct {
	objects []*object
	has     map[*object]bool    // whether an object is among them; nil until one is added
	byKey   map[string][]*field // the fields of each key, uppermost first; nil while they are few
	indexed int                 // number of objects that byKey covers
}

// indexedFrom is the number of merged objects from which they have an index.
const indexedFrom = 5

// addBelow merges m onto objects.
func (m *mergedObjects) addBelow(objects []*object) {
	if m.has == nil {
		m.has = make(map[*object]bool)
	}
	for _, o := range objects {
		if !m.has[o] {
			m.has[o] = true
			m.objects = append(m.objects, o)
		}
	}
}

// fieldAt returns the i-th field of a key from the top, or nil.
func (r *resolver) fieldAt(m *mergedObjects, key string, i int) (*field, error) {
	if len(m.objects) < indexedFrom {
		for _, o := range m.objects {
			if f := o.get(key); f != nil {
				if i == 0 {
					return f, nil
				}
				i--
			}
		}
		return nil, nil
	}
	if err := r.index(m); err != nil {
		return nil, err
	}
	if fields := m.byKey[key]; i < len(fields) {
		return fields[i], nil
	}
	return nil, nil
}

// index adds the objects to byKey that it does not cover.
func (r *resolver) index(m *mergedObjects) error {
	if m.byKey == nil {
		m.byKey = make(map[string][]*field)
	}
	for _, o := range m.objects[m.indexed:] {
		for _, f := range o.fields {
			if err := r.step(f.place); err != nil {
				return err
			}
			m.byKey[f.key] = append(m.byKey[f.key], f)
		}
	}
	m.indexed = len(m.objects)
	return nil
}

// uppermost returns an object with the uppermost field of each key, in the order
// in which the keys were first defined.
func (r *resolver) uppermost(m *mergedObjects) (*object, error) {
	if len(m.objects) == 1 {
		return m.objects[0], nil
	}
	all := &object{}
	for _, o := range slices.Backward(m.objects) {
		for _, f := range o.fields {
			if err := r.step(f.place); err != nil {
				return nil, err
			}
			if i := all.find(f.key); i >= 0 {
				all.fields[i] = f
			} else {
				all.put(f)
			}
		}
	}
	return all, nil
}

// child returns the value of a key of merged objects, or nil.
func (r *resolver) child(m *mergedObjects, key string) (*result, error) {
	var found match
	_, err := r.visitMerged(m, key, nil, &found)
	return found.result(), err
}

// concat evaluates a concatenation (specification: "Value concatenation").
func (r *resolver) concat(n *node) (*result, error) {
	found := make([]*result, len(n.parts)) // of the unresolved parts
	containers := false
	for i, part := range n.parts {
		if part.unresolved() {
			res, err := r.evaluate(part)
			if err != nil {
				return nil, err
			}
			found[i] = res
			containers = containers || res != nil && res.kind >= Array
		}
		containers = containers || isContainer(part.kind)
	}
	if containers {
		return r.concatContainers(n, found)
	}
	return r.concatText(n, found)
}

// concatContainers joins the parts from left to right.
func (r *resolver) concatContainers(n *node, found []*result) (left *result, err error) {
	for i, part := range n.parts {
		right := found[i]
		if !part.unresolved() {
			right = newResult(part)
		}
		switch {
		case right == nil: // an optional substitution without a value
		case left == nil:
			left = right
		default:
			if left, err = r.join(left, right); err != nil {
				return nil, err
			}
		}
	}
	return left, nil
}

// concatText builds a string. If only one part has a value, the value keeps its
// type.
func (r *resolver) concatText(n *node, found []*result) (*result, error) {
	text := newRope("", 0)
	values, last := 0, 0
	for i, part := range n.parts {
		piece := newRope(part.text, len(part.text))
		if part.unresolved() {
			if found[i] == nil {
				continue
			}
			piece = found[i].rope()
		}
		if text = joinRopes(text, piece); text.size > r.limits.Size {
			return nil, r.tooLong(n.place)
		}
		values, last = values+1, i
	}
	switch {
	case values == 0:
		return nil, nil
	case values > 1:
		res := &result{place: n.parts[0].place, kind: String, joined: text}
		if n.selfReferring {
			return res, nil // others may be joined to it before its text is needed
		}
		return res, r.buildText(res)
	case n.parts[last].unresolved():
		return found[last], nil
	}
	return r.literal(n.parts[last]), nil
}

// rope returns the text of a scalar for joining.
func (res *result) rope() *rope[string] {
	if res.joined != nil {
		return res.joined
	}
	return newRope(res.text, len(res.text))
}

// buildText sets the text of a scalar that was joined from others.
func (r *resolver) buildText(res *result) error {
	if res.joined == nil {
		return nil
	}
	if err := r.takeBytes(res.place, res.joined.size); err != nil {
		return err
	}
	var b strings.Builder
	b.Grow(res.joined.size)
	for text := range res.joined.leaves() {
		b.WriteString(text)
	}
	res.text, res.joined = b.String(), nil
	return nil
}

// join concatenates two values (specification: "Array and object
// concatenation", "Concatenation with whitespace and substitutions").
func (r *resolver) join(left, right *result) (*result, error) {
	switch {
	case left.space && right.kind >= Array:
		return right, nil
	case right.space && left.kind >= Array:
		return left, nil
	case left.kind == Object && right.kind == Object:
		return &result{place: left.place, kind: Object, layers: &layers{lower: left.layers, upper: right.layers}}, nil
	case left.kind >= Array && right.kind >= Array:
		return r.joinLists(left, right)
	case left.kind >= Array || right.kind >= Array:
		return nil, cannotConcat(right.place, left.kind, right.kind)
	}
	text := joinRopes(left.rope(), right.rope())
	if text.size > r.limits.Size {
		return nil, r.tooLong(left.place)
	}
	return &result{place: left.place, kind: String, joined: text, space: left.space && right.space}, nil
}

func (r *resolver) joinLists(left, right *result) (*result, error) {
	first, err := r.asList(left)
	if err != nil {
		return nil, err
	}
	second, err := r.asList(right)
	if err != nil {
		return nil, err
	}
	if first == nil || second == nil {
		return nil, cannotConcat(right.place, left.kind, right.kind)
	}
	whole := joinRopes(first, second)
	if int64(whole.size) > int64(r.limits.Values) {
		return nil, r.tooMany(left.place)
	}
	return &result{place: left.place, kind: Array, list: whole}, nil
}

// asList returns the elements of an array, or of an object with numeric keys
// (specification: "Conversion of numerically-indexed objects to arrays"). It
// returns nil for an object without any.
func (r *resolver) asList(res *result) (*rope[listPart], error) {
	if res.kind == Array {
		return res.list, nil
	}
	merged, err := r.flat(res)
	if err != nil {
		return nil, err
	}
	all, err := r.uppermost(merged)
	if err != nil {
		return nil, err
	}
	if err := r.takeSteps(res.place, len(all.fields)); err != nil {
		return nil, err
	}
	indices := indexOrder(all.fields)
	if len(indices) == 0 {
		return nil, nil
	}
	var elements []*result
	for _, i := range indices {
		element, err := r.child(merged, all.fields[i].key)
		if err != nil {
			return nil, err
		}
		if element != nil {
			elements = append(elements, element)
		}
	}
	return newRope(listPart{results: elements}, len(elements)), nil
}

// indexOrder returns the positions of the fields whose keys are array indices,
// in the order of their numbers.
func indexOrder(fields []*field) []int {
	type index struct{ number, position int }
	var found []index
	for position, f := range fields {
		if number, ok := arrayIndex(f.key); ok {
			found = append(found, index{number, position})
		}
	}
	slices.SortStableFunc(found, func(a, b index) int { return a.number - b.number })
	order := make([]int, len(found))
	for i, f := range found {
		order[i] = f.position
	}
	return order
}

// arrayIndex reads a key as an array index: digits whose number fits 32 bits.
func arrayIndex(key string) (int, bool) {
	if key == "" || strings.Trim(key, "0123456789") != "" {
		return 0, false
	}
	number, err := strconv.ParseInt(key, 10, 32)
	return int(number), err == nil
}
