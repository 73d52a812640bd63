package hocon

import "slices"

// force works out a result and all that is in it.
func (r *resolver) force(res *result) (*data, error) {
	if res.forced != nil {
		return res.forced, r.count(res.place, res.forced.size())
	}
	if res.forcing {
		return nil, &containmentError{r.containment(res, nil)}
	}
	if res.kind < Array {
		res.forced = r.scalar(res.place, res.kind, res.text)
		return res.forced, r.count(res.place, 1)
	}
	d := &data{place: res.place, kind: res.kind, contents: &contents{weight: 1, height: 1}}
	if r.depth++; r.depth > r.limits.Depth {
		return nil, r.tooDeep(res.place)
	}
	res.forcing = true
	r.frames = append(r.frames, frame{whole: res})
	var err error
	if res.kind == Array {
		err = r.forceList(res.list, d)
	} else {
		err = r.forceObject(res, d)
	}
	r.frames = r.frames[:len(r.frames)-1]
	r.depth--
	res.forcing = false
	if err != nil {
		return nil, err
	}
	res.forced = d
	if d.height > r.limits.Depth {
		return nil, r.tooDeep(res.place)
	}
	return d, r.count(res.place, 1)
}

func (r *resolver) tooDeep(at place) error {
	return &LimitError{Pos: at.position(), What: "nesting", Limit: int64(r.limits.Depth)}
}

// count keeps the number of values, as they would be printed, within bounds.
func (r *resolver) count(at place, values int64) error {
	if r.values += values; r.values > int64(r.limits.Values) {
		return r.tooMany(at)
	}
	return nil
}

// scalar makes data by the hundred, which is less work than one by one.
func (r *resolver) scalar(at place, kind Kind, text string) *data {
	if len(r.scalars) == 0 {
		r.scalars = make([]data, 128)
	}
	d := &r.scalars[0]
	r.scalars = r.scalars[1:]
	d.place, d.kind, d.text = at, kind, text
	return d
}

func (r *resolver) forceList(l *list, d *data) error {
	d.elements = make([]*data, 0, l.size)
	for _, leaf := range l.leaves() {
		for _, n := range leaf.elements {
			element, err := r.forceNode(n)
			if err != nil {
				return err
			}
			if element != nil {
				d.append(element)
			}
		}
		for _, res := range leaf.indexed {
			element, err := r.force(res)
			if err != nil {
				return err
			}
			d.append(element)
		}
	}
	return nil
}

// forceNode gives nil for an optional substitution that has no value.
func (r *resolver) forceNode(n *node) (*data, error) {
	if !n.pending() && !isContainer(n.kind) {
		return r.scalar(n.place, kindOf(n.kind), n.text), r.count(n.place, 1)
	}
	if n.closed {
		return r.forceClosed(n)
	}
	res, err := r.evaluate(n)
	if res == nil || err != nil {
		return nil, err
	}
	return r.forceFrom(n, res)
}

// forceFrom works out what n led to. If that contains the place where n stands,
// an optional n has no value.
func (r *resolver) forceFrom(n *node, res *result) (*data, error) {
	d, err := r.force(res)
	if inside, ok := err.(*containmentError); ok && n.pending() {
		if n.kind == nodeSubstitution && n.subst.optional {
			r.results.set(n, nil)
			return nil, nil
		}
		if n.kind == nodeSubstitution {
			inside.link(n.place, n.subst.String())
		}
		return nil, inside.CycleError
	}
	return d, err
}

// forceClosed takes the short way: nothing in n leads anywhere else.
func (r *resolver) forceClosed(n *node) (*data, error) {
	if r.depth++; r.depth > r.limits.Depth {
		return nil, r.tooDeep(n.place)
	}
	defer func() { r.depth-- }()
	d := &data{place: n.place, kind: kindOf(n.kind), contents: &contents{weight: 1, height: 1}}
	if n.kind == nodeArray {
		d.elements = make([]*data, 0, len(n.parts))
		for _, part := range n.parts {
			element, err := r.forceNode(part)
			if err != nil {
				return nil, err
			}
			d.append(element)
		}
		return d, r.count(n.place, 1)
	}
	d.fields, d.index = n.object.fields, n.object.index
	d.elements = make([]*data, 0, len(d.fields))
	for _, f := range d.fields {
		top := f.defs[len(f.defs)-1] // what is below is no object, or top would have it
		element, err := r.forceNode(top)
		if err != nil {
			return nil, err
		}
		d.append(element)
	}
	return d, r.count(n.place, 1)
}

func (r *resolver) forceObject(res *result, d *data) error {
	objects, err := r.flat(res)
	if err != nil {
		return err
	}
	all := objects[0]
	if len(objects) > 1 {
		all = mergedFields(objects)
	}
	fields := all.fields
	d.fields, d.index = fields, all.index
	d.elements = make([]*data, 0, len(fields))
	left := false // something out
	for i, f := range fields {
		element, err := r.forceField(objects, f)
		if err != nil {
			return err
		}
		if element == nil && !left {
			left = true
			d.fields, d.index = slices.Clone(fields[:i]), nil // the document has the others
		}
		if element != nil {
			d.append(element)
			if left {
				d.fields = append(d.fields, f)
			}
		}
	}
	if left && len(d.fields) >= indexFrom {
		d.index = newKeyIndex(d.fields)
	}
	return nil
}

// forceField works out the field of the uppermost layer that has it, with
// those of the layers below.
func (r *resolver) forceField(objects []*object, f *field) (*data, error) {
	r.frames = append(r.frames, frame{field: f})
	d, err := r.forceDefinitions(objects, f)
	r.frames = r.frames[:len(r.frames)-1]
	return d, err
}

func (r *resolver) forceDefinitions(objects []*object, f *field) (*data, error) {
	top := f.defs[len(f.defs)-1]
	if !top.pending() && (top.kind != nodeObject || len(f.defs) == 1 && len(objects) == 1) {
		return r.forceNode(top)
	}
	var res *result
	var err error
	if len(objects) == 1 {
		res, err = r.wholeField(f)
	} else {
		res, err = r.child(objects, f.key)
	}
	if res == nil || err != nil {
		return nil, err
	}
	return r.forceFrom(top, res)
}

// A containmentError is a cycle that no substitution has been made to answer
// for yet: the last on the way to the value that is part of itself.
type containmentError struct{ *CycleError }

// containment is the error of a value that is part of itself: the keys that
// lead from it to the substitution n, if it is known, that leads back.
func (r *resolver) containment(res *result, n *node) *CycleError {
	start := slices.IndexFunc(r.frames, func(f frame) bool { return f.whole == res })
	if start > 0 && r.frames[start-1].field != nil {
		start--
	}
	e := &CycleError{}
	for i, fr := range r.frames[max(start, 0):] {
		switch {
		case fr.field != nil && (i == 0 || fr.field != r.frames[start+i-1].field):
			e.link(fr.field.place, renderElement(fr.field.key))
		case fr.subst != nil:
			e.link(fr.subst.place, fr.subst.subst.String())
		}
	}
	if n != nil {
		e.link(n.place, n.subst.String())
	}
	if len(e.Chain) == 0 {
		e.link(res.place, res.kind.String())
	}
	e.Pos = e.Chain[0].Pos
	return e
}

func (e *CycleError) link(at place, text string) {
	e.Chain = append(e.Chain, Link{Pos: at.position(), Text: text})
}
