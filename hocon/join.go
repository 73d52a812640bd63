package hocon

import (
	"slices"
	"strconv"
	"strings"
)

// concat works out a concatenation.
func (r *resolver) concat(n *node) (*result, error) {
	found := make([]*result, len(n.parts)) // for the parts that are pending
	containers := false
	for i, part := range n.parts {
		if part.pending() {
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

// concatContainers goes from left to right.
func (r *resolver) concatContainers(n *node, found []*result) (left *result, err error) {
	for i, part := range n.parts {
		right := found[i]
		if !part.pending() {
			right = r.literal(part)
		}
		switch {
		case right == nil: // an optional substitution
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

// concatText makes a string, but leaves a value that turns out to be alone as
// it is. A string that is made by adding to another, as in path =
// ${path}":/bin", is put behind that in the same buffer, if it is the first to
// do so.
func (r *resolver) concatText(n *node, found []*result) (*result, error) {
	var first *result // of all values, if it is pending
	var literal *node
	values, size := 0, 0
	for i, part := range n.parts {
		switch {
		case !part.pending():
			literal = part
			values, size = values+1, size+len(part.text)
		case found[i] != nil:
			if values == 0 {
				first = found[i]
			}
			values, size = values+1, size+len(found[i].text)
		}
	}
	if values == 1 && literal != nil {
		return r.literal(literal), nil
	}
	if values <= 1 {
		return first, nil
	}
	res := &result{place: n.parts[0].place, kind: String}
	b, skip := &strings.Builder{}, 0
	if first != nil && first.builder != nil && first.builder.Len() == len(first.text) {
		b, skip = first.builder, len(first.text)
	}
	if n.selfReferring {
		res.builder = b
	}
	if err := r.made(n.place, size-skip); err != nil {
		return nil, err
	}
	if skip == 0 {
		b.Grow(size)
	}
	for i, part := range n.parts {
		switch {
		case !part.pending():
			b.WriteString(part.text)
		case found[i] != nil && (found[i] != first || skip == 0):
			b.WriteString(found[i].text)
		case found[i] != nil:
			skip = 0 // what is there once may come again
		}
	}
	res.text = b.String()
	return res, nil
}

// join puts two values next to each other together.
func (r *resolver) join(left, right *result) (*result, error) {
	switch {
	case left.space && right.kind >= Array:
		return right, nil
	case right.space && left.kind >= Array:
		return left, nil
	case left.kind == Object && right.kind == Object:
		return &result{place: left.place, kind: Object, tree: &layers{lower: left.tree, upper: right.tree}}, nil
	case left.kind >= Array && right.kind >= Array:
		return r.joinLists(left, right)
	case left.kind >= Array || right.kind >= Array:
		return nil, cannotConcat(right.place, left.kind, right.kind)
	}
	if err := r.made(left.place, len(left.text)+len(right.text)); err != nil {
		return nil, err
	}
	return &result{place: left.place, kind: String, text: left.text + right.text, space: left.space && right.space}, nil
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
	whole := join(first, second)
	if int64(whole.size) > int64(r.limits.Values) {
		return nil, r.tooMany(left.place)
	}
	return &result{place: left.place, kind: Array, list: whole}, nil
}

func (r *resolver) tooMany(at place) error {
	return &LimitError{Pos: at.position(), What: "values", Limit: int64(r.limits.Values)}
}

// asList gives an array, or an object with numeric keys as one; nil for an
// object that has none.
func (r *resolver) asList(res *result) (*list, error) {
	if res.kind == Array {
		return res.list, nil
	}
	objects, err := r.flat(res)
	if err != nil {
		return nil, err
	}
	var keys []string
	for _, f := range mergedFields(objects).fields {
		keys = append(keys, f.key)
	}
	indices := indexOrder(keys)
	if len(indices) == 0 {
		return nil, nil
	}
	leaf := &list{}
	for _, i := range indices {
		element, err := r.child(objects, keys[i])
		if err != nil {
			return nil, err
		}
		if element != nil {
			leaf.indexed = append(leaf.indexed, element)
		}
	}
	leaf.size = len(leaf.indexed)
	return leaf, nil
}

// child gives the value of a key in an object of these layers.
func (r *resolver) child(objects []*object, key string) (*result, error) {
	var c collector
	for _, o := range objects {
		if f := o.get(key); f != nil {
			if done, err := r.visitField(f, nil, &c); done || err != nil {
				return c.result(), err
			}
		}
	}
	return c.result(), nil
}

// indexOrder gives the places of those keys that are array indices, in the
// order of their numbers.
func indexOrder(keys []string) []int {
	type index struct {
		number int
		at     int
	}
	var found []index
	for at, key := range keys {
		if number, ok := arrayIndex(key); ok {
			found = append(found, index{number, at})
		}
	}
	slices.SortStableFunc(found, func(a, b index) int { return a.number - b.number })
	order := make([]int, len(found))
	for i, f := range found {
		order[i] = f.at
	}
	return order
}

// arrayIndex reads a key as an index of an array: digits that fit 32 bits.
func arrayIndex(key string) (int, bool) {
	if key == "" || strings.Trim(key, "0123456789") != "" {
		return 0, false
	}
	number, err := strconv.ParseInt(key, 10, 32)
	return int(number), err == nil
}
