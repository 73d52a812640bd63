package hocon

// A collector takes the definitions that a path leads to, the upper first, and
// merges them: objects, until there is something else, which hides the rest.
type collector struct {
	objects []*result
	other   *result
	cut     *field // where definitions that are being worked out were left out
}

// add takes a result and tells whether it hides all below it.
func (c *collector) add(res *result) bool {
	if res.kind == Object {
		c.objects = append(c.objects, res)
		return false
	}
	if len(c.objects) == 0 {
		c.other = res
	}
	return true
}

func (c *collector) result() *result {
	if len(c.objects) == 0 {
		return c.other
	}
	res := c.objects[len(c.objects)-1]
	for i := len(c.objects) - 2; i >= 0; i-- {
		res = &result{place: c.objects[i].place, kind: Object, tree: &layers{lower: res.tree, upper: c.objects[i].tree}}
	}
	return res
}

// lookup gives what a path leads to, nil if that is nothing. If definitions
// that are being worked out had to be left out, it gives their field.
func (r *resolver) lookup(path []string) (*result, *field, error) {
	if f := r.direct(path); f != nil {
		res, err := r.wholeField(f)
		if res != nil || err != nil {
			return res, nil, err
		}
	}
	var c collector
	_, err := r.visitObject(r.root, path, &c)
	return c.result(), c.cut, err
}

// direct gives the field that path leads to if all objects on the way are
// literal, and nothing in it is being worked out: its value can be kept.
func (r *resolver) direct(path []string) *field {
	o := r.root
	for i, key := range path {
		f := o.get(key)
		if f == nil {
			return nil
		}
		if _, busy := r.active.find(f); busy {
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

// wholeField gives the value of a field with all its definitions.
func (r *resolver) wholeField(f *field) (*result, error) {
	if len(f.defs) == 1 { // which is remembered by itself
		return r.definition(f, 0)
	}
	if res := r.fields[f]; res != nil {
		return res, nil
	}
	var c collector
	if _, err := r.visitField(f, nil, &c); err != nil {
		return nil, err
	}
	res := c.result()
	if res != nil {
		r.fields[f] = res
	}
	return res, nil
}

func (r *resolver) visitObject(o *object, path []string, c *collector) (done bool, err error) {
	f := o.get(path[0])
	if f == nil {
		return false, nil
	}
	return r.visitField(f, path[1:], c)
}

// visitField leads the rest of a path through the definitions of a field, the
// upper first, until one hides all below it. Those that are not needed are not
// worked out.
func (r *resolver) visitField(f *field, rest []string, c *collector) (done bool, err error) {
	visible := len(f.defs)
	if i, busy := r.active.find(f); busy {
		visible = i
		c.cut = f
	}
	for i := visible - 1; i >= 0 && !done && err == nil; i-- {
		n := f.defs[i]
		switch {
		case n.pending():
			done, err = r.visitPending(f, i, rest, c)
		case len(rest) == 0:
			done = c.add(r.literal(n))
		case n.kind == nodeObject:
			done, err = r.visitObject(n.object, rest, c)
		default:
			done = true
		}
	}
	return done, err
}

func (r *resolver) visitPending(f *field, i int, rest []string, c *collector) (done bool, err error) {
	if len(rest) > 0 {
		r.partial++
	}
	res, err := r.definition(f, i)
	if len(rest) > 0 {
		r.partial--
	}
	if res == nil || err != nil {
		return false, err
	}
	done, err = r.visitResult(res, rest, c)
	// What refers to the value below has taken all that there is in it.
	return done || f.defs[i].selfReferring, err
}

func (r *resolver) visitResult(res *result, rest []string, c *collector) (done bool, err error) {
	if len(rest) == 0 {
		return c.add(res), nil
	}
	if res.kind != Object {
		return true, nil
	}
	objects, err := r.flat(res)
	if err != nil {
		return false, err
	}
	for _, o := range objects {
		if done, err = r.visitObject(o, rest, c); done || err != nil {
			break
		}
	}
	return done, err
}
