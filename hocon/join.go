package hocon

import (
	"slices"
	"strconv"
	"strings"
)

// concat works out a concatenation from left to right.
func (r *resolver) concat(n *node) (*result, error) {
	var left *result
	for i := 0; i < len(n.parts); {
		part, err := r.evaluate(n.parts[i])
		if err != nil {
			return nil, err
		}
		i++
		switch {
		case part == nil: // an optional substitution
		case left == nil:
			left = part
		default:
			if left, err = r.join(left, part); err != nil {
				return nil, err
			}
		}
	}
	return left, nil
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
	return &result{place: left.place, kind: String, text: left.text + right.text}, nil
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
	keys := res.tree.keys()
	indices := indexOrder(keys)
	if len(indices) == 0 {
		return nil, nil
	}
	leaf := &list{}
	for _, i := range indices {
		element, err := r.child(res, keys[i])
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

// child gives the value of a key in an object.
func (r *resolver) child(res *result, key string) (*result, error) {
	var c collector
	_, err := r.visitResult(res, []string{key}, &c)
	return c.result(), err
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
