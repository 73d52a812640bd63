package hocon

import (
	"context"
	"slices"
	"strconv"
	"strings"
)

// A resolver computes the values of one document (specification:
// "Substitutions"). It evaluates a substitution when its value is needed and
// not before, so that objects may refer to their own fields, and keeps the
// result.
//
// A field can have several definitions, each merged onto those before it. While
// the resolver evaluates one of them, lookups of the field see only those before
// it: path = ${path}":/bin" refers to the path before (specification:
// "Self-Referential Substitutions").
type resolver struct {
	budget
	root       *object
	properties map[string]string
	env        func(string) (string, bool)

	results map[*node]*result // of substitutions, concatenations and containers; nil for no value
	views   map[*field]*view  // of fields with several definitions
	active  map[*field]int    // the definition of a field that is being evaluated, the innermost if several
	frames  []frame           // what is being evaluated, outermost first
	partial int               // greater than 0 while a lookup needs only a part of what is evaluated
	depth   int               // of containers that are being built
}

// A frame is a step on the way to what is being evaluated: a field, a
// substitution, or a container whose elements are being built.
type frame struct {
	field     *field
	subst     *node
	container *result
}

// A result is an evaluated node: a scalar, or a container whose elements are
// not evaluated yet.
type result struct {
	place
	kind   Kind
	text   string        // of a scalar, if joined is nil
	joined *rope[string] // the text of a scalar that is not built yet
	space  bool          // unquoted white space, which is dropped beside containers
	list   *rope[listPart]
	layers *layers // of an object

	built    *data // nil until it is built
	building bool
}

// A listPart is a sequence of elements of an array: nodes that are not
// evaluated, or results.
type listPart struct {
	nodes   []*node
	results []*result
}

// newResolver returns a resolver for a document with this number of
// substitutions and concatenations.
func newResolver(ctx context.Context, root *node, unresolved int, limits Limits, properties map[string]string, env func(string) (string, bool)) *resolver {
	return &resolver{
		budget: budget{ctx: ctx, task: "resolving " + root.src.name, limits: limits},
		root:   root.object, properties: properties, env: env,
		results: make(map[*node]*result, unresolved), views: map[*field]*view{}, active: map[*field]int{},
	}
}

func (r *resolver) run(root *node) (*data, error) {
	if err := r.canceled(); err != nil {
		return nil, err
	}
	built, err := r.build(r.literal(root))
	if inside, ok := err.(*containmentError); ok {
		err = inside.CycleError
	}
	return built, err
}

// literal returns the result of a node that is not a substitution or a
// concatenation. A container always has the same one, which is built only once.
func (r *resolver) literal(n *node) *result {
	if !isContainer(n.kind) {
		return newResult(n)
	}
	res := r.results[n]
	if res == nil {
		res = newResult(n)
		r.results[n] = res
	}
	return res
}

func newResult(n *node) *result {
	res := &result{place: n.place, kind: kindOf(n.kind)}
	switch n.kind {
	case nodeObject:
		res.layers = &layers{object: n.object}
	case nodeArray:
		res.list = newRope(listPart{nodes: n.parts}, len(n.parts))
	default:
		res.text, res.space = n.text, n.kind == nodeSpace
	}
	return res
}

// evaluate returns the result of a node, nil for an optional substitution
// without a value.
func (r *resolver) evaluate(n *node) (*result, error) {
	if !n.unresolved() {
		return r.literal(n), nil
	}
	if res, done := r.results[n]; done {
		return res, nil
	}
	if err := r.step(n.place); err != nil {
		return nil, err
	}
	if len(r.frames) >= 2*r.limits.Chain { // each link is a field and a substitution
		return nil, &LimitError{Pos: n.position(), What: "substitutions that wait for each other", Limit: int64(r.limits.Chain)}
	}
	var res *result
	var err error
	if n.kind == nodeSubstitution {
		res, err = r.substitute(n)
	} else {
		res, err = r.concat(n)
	}
	if err == nil {
		r.results[n] = res
	}
	return res, err
}

// definition returns the result of definition i of a field. Definitions that
// each refer to the one before, as of a += 1, are evaluated from the first one
// on: their number may exceed the depth of the stack.
func (r *resolver) definition(f *field, i int) (*result, error) {
	first := i
	for first > 0 && f.defs[first].selfReferring {
		if _, done := r.results[f.defs[first]]; done {
			break
		}
		first--
	}
	for ; first < i; first++ {
		if f.defs[first].selfReferring {
			if _, err := r.single(f, first); err != nil {
				return nil, err
			}
		}
	}
	return r.single(f, i)
}

func (r *resolver) single(f *field, i int) (*result, error) {
	n := f.defs[i]
	if !n.unresolved() {
		return r.literal(n), nil
	}
	if res, done := r.results[n]; done {
		return res, nil
	}
	outer, nested := r.active[f]
	r.active[f] = i
	r.frames = append(r.frames, frame{field: f})
	res, err := r.evaluate(n)
	r.frames = r.frames[:len(r.frames)-1]
	if nested {
		r.active[f] = outer
	} else {
		delete(r.active, f)
	}
	return res, err
}

// substitute returns the value of a substitution. If that is a container which
// the substitution is itself part of, this is a cycle, unless only another part
// of the container is needed.
func (r *resolver) substitute(n *node) (*result, error) {
	res, err := r.find(n)
	if res != nil && res.building && r.partial == 0 {
		if n.subst.optional {
			return nil, nil
		}
		return nil, r.containment(res, n)
	}
	return res, err
}

// find looks up a substitution: in the properties; in the document, first below
// the include that it came with; then in the environment (specification:
// "Substitution fallback to environment variables"). One that refers to its own
// definition, with none before it, is not looked up elsewhere: HOME = ${?HOME}
// does not read the environment, as on the JVM.
func (r *resolver) find(n *node) (*result, error) {
	s := n.subst
	if text, ok := r.properties[strings.Join(s.path, ".")]; ok && !s.list {
		return r.external(n.place, text)
	}
	r.frames = append(r.frames, frame{subst: n})
	defer func() { r.frames = r.frames[:len(r.frames)-1] }()
	paths := [][]string{s.path}
	if len(s.prefix) > 0 {
		paths = [][]string{slices.Concat(s.prefix, s.path), s.path}
	}
	for _, path := range paths {
		res, cut, err := r.lookup(path)
		switch {
		case res != nil || err != nil:
			return res, err
		case cut != nil && s.optional:
			return nil, nil
		case cut != nil:
			return nil, r.cycle(cut)
		}
	}
	if res, err := r.environment(n); res != nil || err != nil || s.optional {
		return res, err
	}
	return nil, &UnresolvedError{Pos: n.position(), Substitution: s.String()}
}

// external returns a string that comes from outside the document.
func (r *resolver) external(at place, text string) (*result, error) {
	return &result{place: at, kind: String, text: text}, r.takeBytes(at, len(text))
}

// environment looks up a substitution in the environment.
func (r *resolver) environment(n *node) (*result, error) {
	if len(n.subst.path) != 1 {
		return nil, nil
	}
	name := n.subst.path[0]
	if n.subst.list {
		return r.environmentList(n, name)
	}
	text, ok := r.env(name)
	if !ok {
		return nil, nil
	}
	return r.external(n.place, text)
}

// environmentList returns an array of the variables NAME_0, NAME_1 and so on,
// up to the first that is not set.
func (r *resolver) environmentList(n *node, name string) (*result, error) {
	var elements []*node
	for {
		text, ok := r.env(name + "_" + strconv.Itoa(len(elements)))
		if !ok {
			break
		}
		elements = append(elements, &node{place: n.place, kind: nodeString, text: text})
		if err := r.takeBytes(n.place, len(text)); err != nil {
			return nil, err
		}
		if err := r.takeValues(n.place, 1); err != nil {
			return nil, err
		}
	}
	if elements == nil {
		return nil, nil
	}
	return &result{place: n.place, kind: Array, list: newRope(listPart{nodes: elements}, len(elements))}, nil
}

// cycle is the error of a substitution that needs a definition of f which is
// being evaluated.
func (r *resolver) cycle(f *field) error {
	e := &CycleError{}
	for i, fr := range slices.Backward(r.frames) {
		if fr.subst != nil {
			e.link(fr.subst.place, fr.subst.subst.String())
		}
		if fr.field == f || i == 0 {
			break
		}
	}
	slices.Reverse(e.Chain)
	e.Pos = e.Chain[0].Pos
	return e
}

// A containmentError is a cycle that has no substitution as its cause yet: the
// last one on the way to a value that is part of itself.
type containmentError struct{ *CycleError }

// containment is the error of a value that is part of itself. It lists the keys
// that lead from the value to the substitution n that leads back, which may be
// nil.
func (r *resolver) containment(res *result, n *node) *CycleError {
	start := slices.IndexFunc(r.frames, func(f frame) bool { return f.container == res })
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
