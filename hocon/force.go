package hocon

import "slices"

// force works out a result and all that is in it.
func (r *resolver) force(res *result) (*data, error) {
	if res.forced != nil {
		return res.forced, r.count(res.place, res.forced.weight)
	}
	if res.forcing {
		return nil, &containmentError{r.containment(res, nil)}
	}
	d := &data{place: res.place, kind: res.kind, text: res.text, weight: 1}
	if res.kind < Array {
		res.forced = d
		return d, r.count(res.place, 1)
	}
	if r.depth++; r.depth > r.limits.Depth {
		return nil, &LimitError{Pos: res.position(), What: "nesting", Limit: int64(r.limits.Depth)}
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
	return d, r.count(res.place, 1)
}

// count keeps the number of values, as they would be printed, within bounds.
func (r *resolver) count(at place, values int64) error {
	if r.values += values; r.values > int64(r.limits.Values) {
		return r.tooMany(at)
	}
	return nil
}

func (d *data) append(element *data) {
	d.elements = append(d.elements, element)
	d.weight += element.weight
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
		return &data{place: n.place, kind: kindOf(n.kind), text: n.text, weight: 1}, r.count(n.place, 1)
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
			r.results[n] = nil
			return nil, nil
		}
		if n.kind == nodeSubstitution {
			inside.link(n.place, n.subst.String())
		}
		return nil, inside.CycleError
	}
	return d, err
}

func (r *resolver) forceObject(res *result, d *data) error {
	objects := res.tree.flat()
	if len(objects) > 1 {
		return r.forceLayers(res, d)
	}
	fields := objects[0].fields
	d.keys = make([]string, 0, len(fields))
	d.places = make([]place, 0, len(fields))
	d.elements = make([]*data, 0, len(fields))
	for _, f := range fields {
		element, err := r.forceField(f)
		if err != nil {
			return err
		}
		if element != nil {
			d.put(f.key, f.place, element)
		}
	}
	return nil
}

func (r *resolver) forceField(f *field) (*data, error) {
	r.frames = append(r.frames, frame{field: f})
	defer func() { r.frames = r.frames[:len(r.frames)-1] }()
	if len(f.defs) == 1 && !f.defs[0].pending() {
		return r.forceNode(f.defs[0])
	}
	res, err := r.wholeField(f)
	if res == nil || err != nil {
		return nil, err
	}
	return r.forceFrom(f.defs[len(f.defs)-1], res)
}

func (r *resolver) forceLayers(res *result, d *data) error {
	for _, key := range res.tree.keys() {
		inner, err := r.child(res, key)
		if err != nil {
			return err
		}
		if inner == nil {
			continue
		}
		element, err := r.force(inner)
		if err != nil {
			return err
		}
		d.put(key, res.tree.keyPlace(key), element)
	}
	return nil
}

// keyPlace is where the uppermost layer defines a key.
func (t *layers) keyPlace(key string) place {
	for _, o := range t.flat() {
		if f := o.get(key); f != nil {
			return f.place
		}
	}
	return place{}
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
