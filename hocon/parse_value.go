package hocon

import (
	"slices"
	"strings"
)

// value parses a value: everything up to the next separator. If that is more
// than one part, the value is their concatenation (specification: "Value
// concatenation"); a single part keeps its type.
func (p *parser) value() (*node, error) {
	first, err := p.part()
	if err != nil {
		return nil, err
	}
	var parts []*node
	for {
		space := p.tok
		if err := p.skipSpace(); err != nil {
			return nil, err
		}
		if !p.startsPart() {
			break
		}
		if parts == nil {
			parts = append(make([]*node, 0, 4), first)
		}
		if space.kind == tokenSpace {
			parts = append(parts, &node{
				place: place{p.src, space.start}, kind: nodeSpace, text: p.src.text[space.start:p.tok.start],
			})
		}
		next, err := p.part()
		if err != nil {
			return nil, err
		}
		parts = append(parts, next)
	}
	if parts == nil {
		first.selfReferring = p.selfReferring(first)
		return first, nil
	}
	return p.concat(parts)
}

// startsPart reports whether the next token can be a part of a value.
func (p *parser) startsPart() bool {
	switch p.tok.kind {
	case tokenOpenBrace, tokenOpenBracket, tokenQuoted, tokenUnquoted, tokenNumber, tokenBoolean, tokenNull, tokenSubstitution, tokenOptional:
		return true
	}
	return false
}

// part parses one part of a concatenation.
func (p *parser) part() (*node, error) {
	at := p.here()
	if err := p.loader.takeValues(at, 1); err != nil {
		return nil, err
	}
	kind := nodeString
	switch p.tok.kind {
	case tokenQuoted, tokenUnquoted:
	case tokenNumber:
		kind = nodeNumber
	case tokenBoolean:
		kind = nodeBoolean
	case tokenNull:
		kind = nodeNull
	case tokenOpenBracket:
		return p.array()
	case tokenOpenBrace:
		n := newObject(at)
		return n, p.braces(n.object)
	case tokenSubstitution, tokenOptional:
		return p.substitution()
	default:
		return nil, p.unexpected("a value", "")
	}
	n := &node{place: at, kind: kind, text: p.tok.text}
	return n, p.advance()
}

// substitution parses the rest of a substitution after "${" (specification:
// "Substitutions").
func (p *parser) substitution() (*node, error) {
	at := p.here()
	s := &substitution{optional: p.tok.kind == tokenOptional}
	var b pathBuilder
	for {
		if err := p.advance(); err != nil {
			return nil, err
		}
		if !isPathToken(p.tok.kind) {
			break
		}
		if problem := b.add(p.tok); problem != "" {
			return nil, p.unexpected("", problem)
		}
	}
	if p.tok.kind == tokenOpenBracket && b.started {
		if err := p.listSuffix(); err != nil {
			return nil, err
		}
		s.list = true
	}
	if p.tok.kind != tokenCloseBrace {
		hint := ""
		if p.tok.kind == tokenEnd || p.tok.kind == tokenNewline {
			hint = "the '${' at " + at.position().String() + " is not closed"
		}
		return nil, p.unexpected("'}' after the path of a substitution", hint)
	}
	path, problem := b.finish()
	if problem != "" {
		return nil, &SyntaxError{Pos: at.position(), Found: "the path of this substitution", Hint: problem}
	}
	if len(path) > p.loader.limits.Depth {
		return nil, &LimitError{Pos: at.position(), What: "elements of a path", Limit: int64(p.loader.limits.Depth)}
	}
	s.path = path
	return p.refer(at, s), p.advance()
}

// listSuffix parses the "[]" of "${X[]}", and white space after it.
func (p *parser) listSuffix() error {
	if err := p.advance(); err != nil {
		return err
	}
	if p.tok.kind != tokenCloseBracket {
		return p.unexpected("']'", "")
	}
	if err := p.advance(); err != nil {
		return err
	}
	return p.skipSpace()
}

// concat concatenates parts without substitutions, and leaves the others to the
// resolver.
func (p *parser) concat(parts []*node) (*node, error) {
	var pending, containers, strings bool
	for _, part := range parts {
		switch part.kind {
		case nodeSubstitution:
			pending = true
		case nodeArray, nodeObject:
			containers = true
		case nodeSpace:
		default:
			strings = true
		}
	}
	if containers && strings {
		return nil, mixed(parts)
	}
	if !pending && !containers {
		return joinText(parts), nil
	}
	p.loader.unresolved++
	n := newCompound(parts[0].place, nodeConcat, compound{parts: parts})
	n.selfReferring = p.selfReferring(parts...)
	if pending {
		return n, nil
	}
	if o := joinObjects(parts); o != nil {
		return o, nil
	}
	return n, checkArrays(parts)
}

func joinText(parts []*node) *node {
	var b strings.Builder
	for _, part := range parts {
		b.WriteString(part.text)
	}
	return &node{place: parts[0].place, kind: nodeString, text: b.String()}
}

// joinObjects merges parts that are all objects. It returns nil if they are not.
func joinObjects(parts []*node) *node {
	for _, part := range parts {
		if part.kind != nodeObject && part.kind != nodeSpace {
			return nil
		}
	}
	for _, part := range parts[1:] {
		if part.kind == nodeObject {
			parts[0].object.absorb(part.object)
		}
	}
	return parts[0]
}

// mixed is the error of a concatenation of arrays or objects with strings.
func mixed(parts []*node) error {
	first := parts[0]
	for _, part := range parts[1:] {
		if part.kind != nodeSpace && isContainer(part.kind) != isContainer(first.kind) {
			return cannotConcat(part.place, kindOf(first.kind), kindOf(part.kind))
		}
	}
	return cannotConcat(first.place, Object, String)
}

func isContainer(k nodeKind) bool { return k == nodeArray || k == nodeObject }

// checkArrays checks that the objects beside arrays can be read as arrays
// (specification: "Conversion of numerically-indexed objects to arrays").
func checkArrays(parts []*node) error {
	for _, part := range parts {
		if part.kind == nodeObject && !hasIndex(part.object) {
			return cannotConcat(part.place, Array, Object)
		}
	}
	return nil
}

func hasIndex(o *object) bool {
	return slices.ContainsFunc(o.fields, func(f *field) bool { _, ok := arrayIndex(f.key); return ok })
}

// selfReferring reports whether one of parts is a substitution for the path
// that is being defined.
func (p *parser) selfReferring(parts ...*node) bool {
	if p.inArray > 0 {
		return false
	}
	for _, part := range parts {
		if part.kind == nodeSubstitution && slices.Equal(part.subst.path, p.path) {
			return true
		}
	}
	return false
}

func cannotConcat(at place, left, right Kind) error {
	return &ValueError{Pos: at.position(), Msg: "cannot concatenate " + left.article() + " with " + right.article()}
}
