package hocon

// A match is the value that a path leads to, collected from its definitions,
// the uppermost first: objects, which are merged, up to a value of another type,
// which hides the rest.
type match struct {
	objects []*result
	other   *result // nil if there are objects, which hide it
	cut     *field  // a field of which a definition that is being evaluated was left out
	visited map[visit]bool
}

// A visit is a lookup of the last elements of a path in a field.
type visit struct {
	field *field
	rest  int // number of elements
}

// add adds a definition. It reports whether this hides all below it.
func (m *match) add(res *result) (hides bool) {
	if res.kind == Object {
		m.objects = append(m.objects, res)
		return false
	}
	if len(m.objects) == 0 {
		m.other = res
	}
	return true
}

// result returns the merged value, or nil if there is none.
func (m *match) result() *result {
	if len(m.objects) == 0 {
		return m.other
	}
	res := m.objects[len(m.objects)-1]
	for i := len(m.objects) - 2; i >= 0; i-- {
		upper := m.objects[i]
		res = &result{place: upper.place, kind: Object, layers: &layers{lower: res.layers, upper: upper.layers}}
	}
	return res
}

// isRepeated reports whether the same visit was made before.
func (m *match) isRepeated(f *field, rest []string) bool {
	if len(rest) == 0 {
		return false
	}
	v := visit{f, len(rest)}
	if m.visited[v] {
		return true
	}
	if m.visited == nil {
		m.visited = make(map[visit]bool)
	}
	m.visited[v] = true
	return false
}

// lookup returns what a path leads to, or nil. If definitions that are being
// evaluated were left out, it returns their field.
func (r *resolver) lookup(path []string) (*result, *field, error) {
	if f := r.direct(path); f != nil {
		res, err := r.whole(f)
		return res, nil, err
	}
	var m match
	_, err := r.visitObject(r.root, path, &m)
	return m.result(), m.cut, err
}

// direct returns the field that a path leads to if all objects on the way are
// literal, and none of the fields is being evaluated.
func (r *resolver) direct(path []string) *field {
	o := r.root
	for i, key := range path {
		f := o.get(key)
		if f == nil {
			return nil
		}
		if _, busy := r.active[f]; busy {
			return nil
		}
		if i == len(path)-1 {
			return f
		}
		if len(f.defs) != 1 || f.defs[0].kind != nodeObject {
			return nil
		}
		o = f.defs[0].object
	}
	return nil
}

// The visit functions collect what the last elements of a path lead to from
// several places, the uppermost first. They report whether a definition hides
// all below it, which ends the lookup. Definitions that a lookup does not need
// are not evaluated.

func (r *resolver) visitObject(o *object, path []string, m *match) (done bool, err error) {
	f := o.get(path[0])
	if f == nil {
		return false, nil
	}
	return r.visitField(f, path[1:], m)
}

func (r *resolver) visitField(f *field, rest []string, m *match) (done bool, err error) {
	if err := r.step(f.place); err != nil {
		return false, err
	}
	visible, busy := r.active[f]
	switch {
	case busy:
		m.cut = f
	case len(f.defs) == 1:
		visible = 1
	default:
		return r.visitView(f, rest, m)
	}
	for i := visible - 1; i >= 0 && !done && err == nil; i-- {
		done, err = r.visitDefinition(f, i, rest, m)
	}
	return done, err
}

func (r *resolver) visitDefinition(f *field, i int, rest []string, m *match) (done bool, err error) {
	n := f.defs[i]
	if err := r.step(n.place); err != nil {
		return false, err
	}
	if len(rest) > 0 && !n.unresolved() {
		if n.kind != nodeObject {
			return true, nil
		}
		return r.visitObject(n.object, rest, m)
	}
	res, err := r.part(f, i, rest)
	if res == nil || err != nil {
		return false, err
	}
	done, err = r.visitResult(res, rest, m)
	// A definition that refers to the value below has taken everything from it.
	return done || n.selfReferring, err
}

// part evaluates a definition of which a lookup needs what is at rest.
func (r *resolver) part(f *field, i int, rest []string) (*result, error) {
	if len(rest) > 0 {
		r.partial++
		defer func() { r.partial-- }()
	}
	return r.definition(f, i)
}

func (r *resolver) visitResult(res *result, rest []string, m *match) (done bool, err error) {
	if len(rest) == 0 {
		return m.add(res), nil
	}
	if res.kind != Object {
		return true, nil
	}
	merged, err := r.flat(res)
	if err != nil {
		return false, err
	}
	return r.visitMerged(merged, rest[0], rest[1:], m)
}

// visitShared visits a field of an object that several substitutions may lead
// to, unless that was done before: what a field contributes a second time is
// hidden by the first. Without this, a path takes exponential time if each of
// its levels has several ways to the next.
func (r *resolver) visitShared(f *field, rest []string, m *match) (done bool, err error) {
	if m.isRepeated(f, rest) {
		return false, nil
	}
	return r.visitField(f, rest, m)
}

// visitMerged visits the fields of a key in merged objects.
func (r *resolver) visitMerged(merged *mergedObjects, key string, rest []string, m *match) (done bool, err error) {
	for i := 0; ; i++ {
		f, err := r.fieldAt(merged, key, i)
		if f == nil || err != nil {
			return false, err
		}
		if done, err = r.visitShared(f, rest, m); done || err != nil {
			return done, err
		}
	}
}

// A view is the merged value of a field with several definitions. It is
// evaluated from the uppermost definition down, as far as lookups needed it, so
// that many lookups do not visit all definitions each time.
type view struct {
	match                // the definitions evaluated so far
	merged mergedObjects // the objects of match
	next   int           // number of definitions that are not evaluated
	done   bool          // they are hidden
	value  *result       // the whole, once all are evaluated or hidden
}

// viewOf returns the view of a field that is not being evaluated.
func (r *resolver) viewOf(f *field) *view {
	v := r.views[f]
	if v == nil {
		v = &view{next: len(f.defs)}
		r.views[f] = v
	}
	return v
}

// whole returns the value of a field with all its definitions, or nil.
func (r *resolver) whole(f *field) (*result, error) {
	if len(f.defs) == 1 {
		return r.definition(f, 0)
	}
	v := r.viewOf(f)
	for v.next > 0 && !v.done {
		if err := r.extend(v, f, nil); err != nil {
			return nil, err
		}
	}
	if v.value == nil {
		v.value = v.result()
	}
	return v.value, nil
}

func (r *resolver) visitView(f *field, rest []string, m *match) (done bool, err error) {
	if len(rest) == 0 {
		res, err := r.whole(f)
		if res == nil || err != nil {
			return false, err
		}
		return m.add(res) || r.viewOf(f).done, nil
	}
	v := r.viewOf(f)
	for i := 0; ; {
		// Evaluating the field below can extend the view.
		below, err := r.fieldAt(&v.merged, rest[0], i)
		switch {
		case err != nil:
			return false, err
		case below != nil:
			i++
			if done, err := r.visitShared(below, rest[1:], m); done || err != nil {
				return done, err
			}
		case v.next == 0 || v.done:
			return v.done, nil
		default:
			if err := r.extend(v, f, rest); err != nil {
				return false, err
			}
		}
	}
}

// extend evaluates the next definition of a field and adds it to the view.
func (r *resolver) extend(v *view, f *field, rest []string) error {
	i := v.next - 1
	if err := r.step(f.defs[i].place); err != nil {
		return err
	}
	res, err := r.part(f, i, rest)
	if err != nil {
		return err
	}
	v.next = i
	if res == nil {
		return nil
	}
	v.done = v.add(res) || f.defs[i].selfReferring
	if res.kind != Object {
		return nil
	}
	merged, err := r.flat(res)
	if err != nil {
		return err
	}
	v.merged.addBelow(merged.objects)
	return r.takeSteps(f.place, len(merged.objects))
}
