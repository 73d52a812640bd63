package hocon

// data is a resolved value with everything in it. Where several substitutions
// refer to one value, they share its data.
type data struct {
	place
	kind Kind
	text string // of a scalar, as written
	*contents
}

// contents are what an array or object has.
type contents struct {
	elements []*data
	keys     *object // of an object: a field for each element, with its key
	weight   int64   // number of values in it, itself included
	height   int     // levels of nesting, itself included
}

// size returns the number of values, d included.
func (d *data) size() int64 {
	if d.contents == nil {
		return 1
	}
	return d.weight
}

func newContainer(at place, kind Kind, capacity int) *data {
	d := &struct {
		data
		contents
	}{data{place: at, kind: kind}, contents{elements: make([]*data, 0, capacity), weight: 1, height: 1}}
	d.data.contents = &d.contents
	return &d.data
}

func (c *contents) append(element *data) {
	c.elements = append(c.elements, element)
	c.weight += element.size()
	if element.contents != nil {
		c.height = max(c.height, element.height+1)
	}
}

// build evaluates a result and everything in it.
func (r *resolver) build(res *result) (*data, error) {
	switch {
	case res.built != nil:
		return res.built, r.takeValues(res.place, res.built.size())
	case res.building:
		if err := r.takeSteps(res.place, len(r.frames)); err != nil {
			return nil, err
		}
		return nil, &containmentError{r.containment(res, nil)}
	case res.kind < Array:
		if err := r.buildText(res); err != nil {
			return nil, err
		}
		res.built = &data{place: res.place, kind: res.kind, text: res.text}
		return res.built, r.takeValues(res.place, 1)
	}
	if err := r.deeper(res.place); err != nil {
		return nil, err
	}
	res.building = true
	r.frames = append(r.frames, frame{container: res})
	built, err := r.buildContainer(res)
	r.frames = r.frames[:len(r.frames)-1]
	res.building = false
	r.depth--
	if err != nil {
		return nil, err
	}
	if built.height > r.limits.Depth {
		return nil, r.tooDeep(res.place)
	}
	res.built = built
	return built, r.takeValues(res.place, 1)
}

func (r *resolver) deeper(at place) error {
	if r.depth++; r.depth > r.limits.Depth {
		return r.tooDeep(at)
	}
	return nil
}

func (r *resolver) buildContainer(res *result) (*data, error) {
	if res.kind == Array {
		return r.buildArray(res)
	}
	return r.buildObject(res)
}

func (r *resolver) buildArray(res *result) (*data, error) {
	d := newContainer(res.place, Array, res.list.size)
	for part := range res.list.leaves() {
		for _, n := range part.nodes {
			element, err := r.buildNode(n)
			if err != nil {
				return nil, err
			}
			if element != nil {
				d.append(element)
			}
		}
		for _, res := range part.results {
			element, err := r.build(res)
			if err != nil {
				return nil, err
			}
			d.append(element)
		}
	}
	return d, nil
}

func (r *resolver) buildObject(res *result) (*data, error) {
	merged, err := r.flat(res)
	if err != nil {
		return nil, err
	}
	all, err := r.uppermost(merged)
	if err != nil {
		return nil, err
	}
	d := newContainer(res.place, Object, len(all.fields))
	d.keys = all
	for i, f := range all.fields {
		element, err := r.buildField(merged, f)
		if err != nil {
			return nil, err
		}
		if element == nil {
			if d.keys == all { // shared: the values so far get keys of their own
				d.keys = &object{}
				for _, f := range all.fields[:i] {
					d.keys.put(f)
				}
			}
			continue
		}
		d.append(element)
		if d.keys != all {
			d.keys.put(f)
		}
	}
	return d, nil
}

// buildField builds the value of a field, merged with the fields of the same key
// below it. It returns nil for an optional substitution without a value.
func (r *resolver) buildField(merged *mergedObjects, f *field) (*data, error) {
	r.frames = append(r.frames, frame{field: f})
	d, err := r.buildDefinitions(merged, f)
	r.frames = r.frames[:len(r.frames)-1]
	return d, err
}

func (r *resolver) buildDefinitions(merged *mergedObjects, f *field) (*data, error) {
	alone := len(merged.objects) == 1
	top := f.defs[len(f.defs)-1]
	if !top.unresolved() && (top.kind != nodeObject || alone && len(f.defs) == 1) {
		return r.buildNode(top)
	}
	var res *result
	var err error
	if alone {
		res, err = r.whole(f)
	} else {
		res, err = r.child(merged, f.key)
	}
	if res == nil || err != nil {
		return nil, err
	}
	return r.buildFrom(top, res)
}

// buildNode returns nil for an optional substitution without a value.
func (r *resolver) buildNode(n *node) (*data, error) {
	if !n.unresolved() && !isContainer(n.kind) {
		return &data{place: n.place, kind: kindOf(n.kind), text: n.text}, r.takeValues(n.place, 1)
	}
	if n.constant {
		return r.buildConstant(n)
	}
	res, err := r.evaluate(n)
	if res == nil || err != nil {
		return nil, err
	}
	return r.buildFrom(n, res)
}

// buildFrom builds the result of n. If that contains n, an optional n has no
// value.
func (r *resolver) buildFrom(n *node, res *result) (*data, error) {
	d, err := r.build(res)
	inside, ok := err.(*containmentError)
	if !ok || !n.unresolved() {
		return d, err
	}
	if n.kind == nodeSubstitution {
		if n.subst.optional {
			r.results[n] = nil
			return nil, nil
		}
		inside.link(n.place, n.subst.String())
	}
	return nil, inside.CycleError
}

// buildConstant builds an array or object without substitutions, of which no
// results have to be kept.
func (r *resolver) buildConstant(n *node) (*data, error) {
	if err := r.deeper(n.place); err != nil {
		return nil, err
	}
	defer func() { r.depth-- }()
	if n.kind == nodeArray {
		d := newContainer(n.place, Array, len(n.parts))
		for _, part := range n.parts {
			element, err := r.buildNode(part)
			if err != nil {
				return nil, err
			}
			d.append(element)
		}
		return d, r.takeValues(n.place, 1)
	}
	d := newContainer(n.place, Object, len(n.object.fields))
	d.keys = n.object
	for _, f := range n.object.fields {
		element, err := r.buildNode(f.defs[len(f.defs)-1]) // hides those before it: adjacent objects are one
		if err != nil {
			return nil, err
		}
		d.append(element)
	}
	return d, r.takeValues(n.place, 1)
}
