package hocon

import (
	"os"
	"slices"
	"strconv"
	"strings"
)

// ResolveOptions say where substitutions find what the configuration does not
// have; nil stands for the zero value.
type ResolveOptions struct {
	// Properties are the JVM's system properties, by their dotted paths. As
	// there, substitutions find them before what the configuration has.
	Properties map[string]string
	// Env gives environment variables, which come after both. Nil is os.LookupEnv.
	Env func(name string) (string, bool)
	// Limits of the resolver.
	Limits Limits
}

// Resolve replaces all substitutions, each looked up in the whole of d, and
// gives the root object.
//
// It fails with *UnresolvedError, *CycleError, *ValueError (a concatenation of
// different types) or *LimitError.
func (d *Document) Resolve(opts *ResolveOptions) (*Value, error) {
	if opts == nil {
		opts = &ResolveOptions{}
	}
	r := &resolver{root: d.root.object, properties: opts.Properties, env: opts.Env, limits: opts.Limits}
	if r.limits == (Limits{}) {
		r.limits = d.limits
	}
	r.limits = r.limits.orDefault()
	if r.env == nil {
		r.env = os.LookupEnv
	}
	r.fields = make(map[*field]*result)
	root, err := r.force(r.literal(d.root))
	if inside, ok := err.(*containmentError); ok {
		err = inside.CycleError
	}
	if err != nil {
		return nil, err
	}
	return &Value{data: root}, nil
}

// A resolver finds out the values of substitutions when something needs them
// and not before, so that objects may refer to parts of themselves. Each
// substitution is resolved once.
//
// A field can have several definitions, one upon the other. While one of them
// is being worked out, whoever looks up the field sees those below it only:
// that is what makes path = ${path}":/bin" refer to the path before.
type resolver struct {
	root       *object
	properties map[string]string
	env        func(string) (string, bool)
	limits     Limits

	results results            // of substitutions, concatenations and containers
	fields  map[*field]*result // of whole fields that substitutions refer to
	active  active             // the definitions that are being worked out
	frames  []frame            // what is being worked out, outermost first
	partial int                // greater than 0 while only a part of what is worked out is wanted
	depth   int                // of objects and arrays in each other
	scalars []data             // made in advance
	values  int64              // made so far
	bytes   int                // of strings, made so far
}

// A frame is a step on the way to where the resolver is: a definition of a
// field, a substitution, or a container whose values are being worked out.
type frame struct {
	field *field
	subst *node
	whole *result
}

// A result is a value with what is in containers not looked at yet. A nil
// result is that of an optional substitution that has no value.
type result struct {
	place
	kind  Kind
	text  string // of a scalar
	space bool   // unquoted white space, which containers beside it swallow
	list  *list
	tree  *layers
	// builder has text at its start, and may have room for more behind it
	builder *strings.Builder

	forced  *data
	forcing bool
}

func (r *resolver) literal(n *node) *result {
	switch n.kind {
	case nodeObject, nodeArray:
		if res, done := r.results.get(n); done {
			return res
		}
		res := &result{place: n.place, kind: kindOf(n.kind)}
		if n.kind == nodeObject {
			res.tree = newLayers(n.object)
		} else {
			res.list = newList(n.parts)
		}
		r.results.set(n, res)
		return res
	}
	return &result{place: n.place, kind: kindOf(n.kind), text: n.text, space: n.kind == nodeSpace}
}

// evaluate gives the result of any node.
func (r *resolver) evaluate(n *node) (*result, error) {
	if !n.pending() {
		return r.literal(n), nil
	}
	if res, done := r.results.get(n); done {
		return res, nil
	}
	if len(r.frames) >= 2*r.limits.Chain { // each link is a field and a substitution
		return nil, &LimitError{Pos: n.position(), What: "substitutions that need each other", Limit: int64(r.limits.Chain)}
	}
	var res *result
	var err error
	if n.kind == nodeSubstitution {
		res, err = r.substitute(n)
	} else {
		res, err = r.concat(n)
	}
	if err == nil {
		r.results.set(n, res)
	}
	return res, err
}

// definition gives the result of the definition i of a field. A long run of
// definitions that each refer to the one before, as a += 1 makes it, is worked
// out from below: it may be longer than the stack is deep.
func (r *resolver) definition(f *field, i int) (*result, error) {
	first := i
	for first > 0 && f.defs[first].selfReferring {
		if _, done := r.results.get(f.defs[first]); done {
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
	if !n.pending() {
		return r.literal(n), nil
	}
	if res, done := r.results.get(n); done {
		return res, nil
	}
	r.active.push(f, i)
	r.frames = append(r.frames, frame{field: f})
	res, err := r.evaluate(n)
	r.frames = r.frames[:len(r.frames)-1]
	r.active.pop()
	return res, err
}

// substitute gives the value of a substitution. If it leads to the container
// that it is itself a part of, that is a cycle, unless only another part of the
// container is wanted.
func (r *resolver) substitute(n *node) (*result, error) {
	res, err := r.find(n)
	if res != nil && res.forcing && r.partial == 0 {
		if n.subst.optional {
			return nil, nil
		}
		return nil, r.containment(res, n)
	}
	return res, err
}

// find looks up a substitution: among the system properties; in the
// configuration, below the include that it came with first; then in the
// environment. One that refers to the very
// definition that it is in, with nothing below that, is not looked up
// elsewhere: as on the JVM, HOME = ${?HOME} is no way to the environment.
func (r *resolver) find(n *node) (*result, error) {
	s := n.subst
	if text, ok := r.properties[strings.Join(s.path, ".")]; ok && !s.list {
		return &result{place: n.place, kind: String, text: text}, r.made(n.place, len(text))
	}
	r.frames = append(r.frames, frame{subst: n})
	defer func() { r.frames = r.frames[:len(r.frames)-1] }()
	for _, path := range [][]string{s.fixed, s.path} {
		if path == nil {
			continue
		}
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
	return &result{place: n.place, kind: String, text: text}, r.made(n.place, len(text))
}

// environmentList collects NAME_0, NAME_1, ... as far as there are any.
func (r *resolver) environmentList(n *node, name string) (*result, error) {
	var elements []*node
	for {
		text, ok := r.env(name + "_" + strconv.Itoa(len(elements)))
		if !ok {
			break
		}
		elements = append(elements, &node{place: n.place, kind: nodeString, text: text})
		if err := r.made(n.place, len(text)); err != nil {
			return nil, err
		}
		if err := r.count(n.place, 1); err != nil {
			return nil, err
		}
	}
	if elements == nil {
		return nil, nil
	}
	return &result{place: n.place, kind: Array, list: newList(elements)}, nil
}

// made counts the bytes of strings that are not in the files.
func (r *resolver) made(at place, bytes int) error {
	if r.bytes += bytes; r.bytes > r.limits.Size {
		return &LimitError{Pos: at.position(), What: "size of the strings made by substitutions in bytes", Limit: int64(r.limits.Size)}
	}
	return nil
}

// cycle is the error of a substitution that needs a definition of f which is
// being worked out.
func (r *resolver) cycle(f *field) error {
	var chain []Link
	for i, fr := range slices.Backward(r.frames) {
		if fr.subst != nil {
			chain = append(chain, Link{Pos: fr.subst.position(), Text: fr.subst.subst.String()})
		}
		if fr.field == f || i == 0 {
			break
		}
	}
	slices.Reverse(chain)
	return &CycleError{Pos: chain[0].Pos, Chain: chain}
}
