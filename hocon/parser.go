package hocon

import (
	"slices"
)

// A parser turns the tokens of one text into an object, in which substitutions
// stand as they are. Parsers of included texts share one loader.
type parser struct {
	lexer
	loader *loader
	tok    token // the next one that nobody has taken
	file   *file

	depth   int
	prefix  []string // where in the whole configuration this text is included
	path    []string // where in this text the parser is
	inArray int      // arrays around the place where the parser is; no path leads there
	pending bool     // there was a substitution
	keys    pathBuilder
}

// parseRoot reads a whole text.
func (p *parser) parseRoot() (*node, error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	if err := p.skipLines(); err != nil {
		return nil, err
	}
	root := &node{place: p.here(), kind: nodeObject, more: p.own(&more{object: &object{}})}
	switch p.tok.kind {
	case tokenOpenBracket:
		if _, err := p.array(); err != nil {
			return nil, err
		}
		return nil, &SyntaxError{Pos: root.position(), Found: "an array", Expected: "an object at the root of the file"}
	case tokenOpenBrace:
		if err := p.braces(root.object); err != nil {
			return nil, err
		}
		if err := p.skipLines(); err != nil {
			return nil, err
		}
	default:
		if err := p.fields(root.object, tokenEnd); err != nil {
			return nil, err
		}
	}
	if p.tok.kind != tokenEnd {
		return nil, p.unexpected("the end of the file", "")
	}
	return root, nil
}

// own numbers what a node has that is no scalar.
func (p *parser) own(m *more) *more { return p.loader.own(m) }

func (p *parser) here() place { return place{p.src, p.tok.start} }

func (p *parser) advance() (err error) {
	p.tok, err = p.lexer.next()
	return err
}

func (p *parser) unexpected(expected, hint string) error {
	return &SyntaxError{Pos: p.src.position(p.tok.start), Found: p.tok.describe(), Expected: expected, Hint: hint}
}

// skipSpace goes to the next token that is not white space on this line.
func (p *parser) skipSpace() error {
	for p.tok.kind == tokenSpace {
		if err := p.advance(); err != nil {
			return err
		}
	}
	return nil
}

// skipLines goes to the next token that is no white space at all.
func (p *parser) skipLines() error {
	for p.tok.kind == tokenSpace || p.tok.kind == tokenNewline {
		if err := p.advance(); err != nil {
			return err
		}
	}
	return nil
}

// deeper counts levels of nesting, those around an include as well.
func (p *parser) deeper(levels int) error {
	p.depth += levels
	if p.depth > p.loader.limits.Depth {
		return &LimitError{Pos: p.src.position(p.tok.start), What: "nesting", Limit: int64(p.loader.limits.Depth)}
	}
	return nil
}

func (p *parser) braces(o *object) error {
	if err := p.deeper(1); err != nil {
		return err
	}
	if err := p.advance(); err != nil {
		return err
	}
	if err := p.fields(o, tokenCloseBrace); err != nil {
		return err
	}
	p.depth--
	return p.advance()
}

// fields reads up to the token that ends the object, and leaves it there.
func (p *parser) fields(o *object, end tokenKind) error {
	for {
		if err := p.skipLines(); err != nil {
			return err
		}
		if p.tok.kind == end {
			return nil
		}
		if err := p.field(o); err != nil {
			return err
		}
		if err := p.separator(end); err != nil {
			return err
		}
	}
}

// separator takes what must be between two fields or elements: a comma, one
// newline or more, or both; or finds that there is no more.
func (p *parser) separator(end tokenKind) error {
	if err := p.skipSpace(); err != nil {
		return err
	}
	newline := p.tok.kind == tokenNewline
	if err := p.skipLines(); err != nil {
		return err
	}
	if p.tok.kind == tokenComma {
		return p.advance()
	}
	if newline || p.tok.kind == end {
		return nil
	}
	hint := ""
	if p.tok.kind == tokenSeparator {
		hint = "a value that contains it must be in double quotes"
	}
	switch end {
	case tokenCloseBrace:
		return p.unexpected("a comma, a new line or '}'", hint)
	case tokenCloseBracket:
		return p.unexpected("a comma, a new line or ']'", hint)
	}
	return p.unexpected("a comma or a new line", hint)
}

func (p *parser) field(o *object) error {
	if p.tok.kind == tokenUnquoted && p.tok.text == "include" {
		return p.include(o)
	}
	at := p.here()
	path, err := p.key()
	if err != nil {
		return err
	}
	if err := p.skipLines(); err != nil {
		return err
	}
	if err := p.deeper(len(path) - 1); err != nil {
		return err
	}
	depth := len(p.path)
	p.path = append(p.path, path...)
	def, err := p.definition()
	if err != nil {
		return err
	}
	path = p.path[depth:]
	for _, key := range path[:len(path)-1] {
		o = o.descend(&p.loader.fieldMaker, key, at)
	}
	o.define(&p.loader.fieldMaker, path[len(path)-1], at, def)
	p.path = p.path[:depth]
	p.depth -= len(path) - 1
	return nil
}

// key reads a path expression in the place of a key. What it gives is
// overwritten by the next.
func (p *parser) key() ([]string, error) {
	p.keys.reset()
	start := p.tok
	for isPathToken(p.tok.kind) {
		if problem := p.keys.add(p.tok); problem != "" {
			return nil, p.unexpected("", problem)
		}
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
	if !p.keys.started {
		expected, hint := "a key", ""
		switch p.tok.kind {
		case tokenSubstitution, tokenOptional:
			hint = "a substitution cannot be part of a key"
		case tokenCloseBrace:
			hint = "there is no '{' that it closes"
		case tokenEnd:
			expected = "a key or '}'"
		}
		return nil, p.unexpected(expected, hint)
	}
	path, problem := p.keys.finish()
	if problem != "" {
		return nil, &SyntaxError{Pos: p.src.position(start.start), Found: start.describe(), Hint: problem}
	}
	return path, nil
}

// definition reads what follows a key.
func (p *parser) definition() (*node, error) {
	switch p.tok.kind {
	case tokenOpenBrace:
		return p.value()
	case tokenPlusEquals:
		return p.appended()
	case tokenSeparator:
		if err := p.advance(); err != nil {
			return nil, err
		}
		if err := p.skipLines(); err != nil {
			return nil, err
		}
		return p.value()
	}
	return nil, p.unexpected("'=', ':', '+=' or '{' after the key "+renderPath(p.path), "")
}

// appended reads the rest of a += b, which means a = ${?a} [b].
func (p *parser) appended() (*node, error) {
	at := p.here()
	if p.inArray > 0 {
		return nil, p.unexpected("'=' or ':'", "'+=' refers to the path of its key, and no path leads into an array")
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	if err := p.skipLines(); err != nil {
		return nil, err
	}
	p.inArray++
	element, err := p.value()
	if err != nil {
		return nil, err
	}
	p.inArray--
	before := p.refer(at, &substitution{path: slices.Clone(p.path), optional: true})
	list := &node{place: element.place, kind: nodeArray, more: p.own(&more{parts: []*node{element}})}
	return &node{place: at, kind: nodeConcat, selfReferring: true, more: p.own(&more{parts: []*node{before, list}})}, nil
}

// refer makes the node of a substitution in this text.
func (p *parser) refer(at place, s *substitution) *node {
	p.pending = true
	if len(p.prefix) > 0 {
		s.fixed = slices.Concat(p.prefix, s.path)
	}
	return &node{place: at, kind: nodeSubstitution, more: p.own(&more{subst: s})}
}

func (p *parser) array() (*node, error) {
	n := &node{place: p.here(), kind: nodeArray, more: p.own(&more{})}
	if err := p.deeper(1); err != nil {
		return nil, err
	}
	p.inArray++
	if err := p.advance(); err != nil {
		return nil, err
	}
	for {
		if err := p.skipLines(); err != nil {
			return nil, err
		}
		if p.tok.kind == tokenCloseBracket {
			break
		}
		element, err := p.value()
		if err != nil {
			return nil, err
		}
		n.parts = append(n.parts, element)
		if err := p.separator(tokenCloseBracket); err != nil {
			return nil, err
		}
	}
	p.inArray--
	p.depth--
	return n, p.advance()
}
