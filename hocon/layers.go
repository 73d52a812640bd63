package hocon

import (
	"math"
	"slices"
)

// layers are literal objects merged onto each other, as a tree of merges: one
// is made in no time, however large its parts, and parts are shared.
type layers struct {
	object       *object // of a leaf
	lower, upper *layers
	flattened    []*object
	one          [1]*object // room for what a leaf is flattened to
}

func newLayers(o *object) *layers {
	t := &layers{object: o}
	t.one[0] = o
	t.flattened = t.one[:]
	return t
}

// flat gives the layers of an object, the upper first. They are counted as
// values: many objects, each made of the one before, have many layers.
func (r *resolver) flat(res *result) ([]*object, error) {
	if res.tree.flattened != nil {
		return res.tree.flattened, nil
	}
	objects := res.tree.flat()
	return objects, r.count(res.place, int64(len(objects)))
}

// flat gives the objects, the upper first. One that is there twice matters
// only where it is uppermost: what it could add below is hidden by itself.
func (t *layers) flat() []*object {
	if t.flattened != nil {
		return t.flattened
	}
	seen := make(map[*layers]bool)
	found := make(map[*object]bool)
	var objects []*object
	for stack := []*layers{t}; len(stack) > 0; {
		top := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		switch {
		case top.object != nil:
			if !found[top.object] {
				found[top.object] = true
				objects = append(objects, top.object)
			}
		case !seen[top]:
			seen[top] = true
			stack = append(stack, top.lower, top.upper)
		}
	}
	t.flattened = objects
	return objects
}

// mergedFields has for each key of the layers the uppermost field, in the order in which the keys
// were first defined.
func mergedFields(objects []*object) *object {
	all := &object{}
	for _, o := range slices.Backward(objects) {
		for _, f := range o.fields {
			all.replace(f)
		}
	}
	return all
}

// replace puts a field in the place of the one that has the same key.
func (o *object) replace(f *field) {
	if i := findField(o.fields, o.index, f.key); i >= 0 {
		o.fields[i] = f
		return
	}
	o.put(f)
}

// A list is an array as a tree of concatenations.
type list struct {
	elements    []*node   // of a leaf, as written
	indexed     []*result // of a leaf, from an object with numeric keys
	left, right *list
	size        int
}

func newList(elements []*node) *list { return &list{elements: elements, size: len(elements)} }

// join concatenates; the size stops short of overflowing.
func join(left, right *list) *list {
	size := left.size + right.size
	if size < left.size {
		size = math.MaxInt
	}
	return &list{left: left, right: right, size: size}
}

// leaves gives the parts in order.
func (l *list) leaves() []*list {
	var leaves []*list
	for stack := []*list{l}; len(stack) > 0; {
		top := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if top.left == nil {
			leaves = append(leaves, top)
			continue
		}
		stack = append(stack, top.right, top.left)
	}
	return leaves
}
