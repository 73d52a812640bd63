package hocon

import (
	"fmt"
	"slices"
)

// A parser builds the syntax tree of one file. The parsers of included files
// share its loader.
type parser struct {
	lexer
	loader *loader
	file   *file
	tok    token // the next token

	depth   int
	open    []place     // brackets and braces that are not closed yet
	prefix  []string    // path in the whole configuration at which this file is included
	path    []string    // path in this file of the value that is being parsed
	inArray int         // number of arrays around that value: no path leads into an array
	pending bool        // the file has substitutions
	keys    pathBuilder // reused for all keys
}

// parseRoot parses a file: an object, with or without braces (specification:
// "Omit root braces").
func (p *parser) parseRoot() (*node, error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	if err := p.skipLines(); err != nil {
		return nil, err
	}
	root := newObject(p.here())
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

// here returns the place of the next token.
func (p *parser) here() place { return place{p.src, p.tok.start} }

func (p *parser) advance() (err error) {
	p.tok, err = p.lexer.next()
	return err
}

// unexpected is the error of a token that does not fit.
func (p *parser) unexpected(expected, hint string) error {
	if hint == "" {
		hint = p.unclosed()
	}
	return &SyntaxError{Pos: p.src.position(p.tok.start), Found: p.tok.describe(), Expected: expected, Hint: hint}
}

// unclosed names the innermost brace or bracket if the next token, the end of
// the file or the closing one of the other kind, shows that it is not closed.
func (p *parser) unclosed() string {
	if len(p.open) == 0 {
		return ""
	}
	innermost := p.open[len(p.open)-1]
	opening := p.src.text[innermost.offset]
	switch {
	case p.tok.kind == tokenEnd, p.tok.kind == tokenCloseBrace && opening == '[', p.tok.kind == tokenCloseBracket && opening == '{':
		return fmt.Sprintf("the '%c' at %s is not closed", opening, innermost.position())
	}
	return ""
}

// skipSpace skips white space up to the end of the line.
func (p *parser) skipSpace() error {
	for p.tok.kind == tokenSpace {
		if err := p.advance(); err != nil {
			return err
		}
	}
	return nil
}

// skipLines skips white space and newlines.
func (p *parser) skipLines() error {
	for p.tok.kind == tokenSpace || p.tok.kind == tokenNewline {
		if err := p.advance(); err != nil {
			return err
		}
	}
	return nil
}

// deeper adds levels of nesting. Those around an include count as well.
func (p *parser) deeper(levels int) error {
	if p.depth += levels; p.depth > p.loader.limits.Depth {
		return p.loader.tooDeep(p.here())
	}
	return nil
}

// enter takes an opening brace or bracket.
func (p *parser) enter() error {
	if err := p.deeper(1); err != nil {
		return err
	}
	p.open = append(p.open, p.here())
	return p.advance()
}

// leave takes the closing brace or bracket.
func (p *parser) leave() error {
	p.depth--
	p.open = p.open[:len(p.open)-1]
	return p.advance()
}

// braces parses an object in braces into o.
func (p *parser) braces(o *object) error {
	if err := p.enter(); err != nil {
		return err
	}
	if err := p.fields(o, tokenCloseBrace); err != nil {
		return err
	}
	return p.leave()
}

// fields parses fields up to the token that ends the object, which it leaves.
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

// separator takes what separates two fields or elements: a comma, newlines, or
// both (specification: "Commas"). At the end token it takes nothing.
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
		hint = "put a value that contains it in double quotes"
	}
	switch end {
	case tokenCloseBrace:
		return p.unexpected("a comma, a new line or '}'", hint)
	case tokenCloseBracket:
		return p.unexpected("a comma, a new line or ']'", hint)
	}
	return p.unexpected("a comma or a new line", hint)
}

// field parses a key and its value, or an include statement, into o.
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
	outer := len(p.path)
	p.path = append(p.path, path...)
	def, err := p.definition(at)
	if err != nil {
		return err
	}
	path = p.path[outer:]
	for _, key := range path[:len(path)-1] {
		o = o.descend(key, at)
	}
	o.define(path[len(path)-1], at, def)
	p.path = p.path[:outer]
	p.depth -= len(path) - 1
	return nil
}

// key parses a path expression in the place of a key (specification: "Paths as
// keys"). The next call overwrites the result.
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
		return nil, p.noKey()
	}
	path, problem := p.keys.finish()
	if problem != "" {
		return nil, &SyntaxError{Pos: p.src.position(start.start), Found: start.describe(), Hint: problem}
	}
	return path, nil
}

func (p *parser) noKey() error {
	switch p.tok.kind {
	case tokenSubstitution, tokenOptional:
		return p.unexpected("a key", "a key cannot contain a substitution")
	case tokenCloseBrace:
		return p.unexpected("a key", "it has no matching '{'")
	case tokenEnd:
		return p.unexpected("a key or '}'", "")
	}
	return p.unexpected("a key", "")
}

// definition parses what follows a key (specification: "Key-value separator"). at is the
// place of the key.
func (p *parser) definition(at place) (*node, error) {
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
	hint := p.unclosed()
	if key := at.position(); hint == "" && key.Line != p.here().position().Line {
		hint = "the key is at " + key.String()
	}
	return nil, p.unexpected("'=', ':', '+=' or '{' after the key "+renderPath(p.path), hint)
}

// appended parses a += b, which means a = ${?a} [b] (specification: "The +=
// field separator").
func (p *parser) appended() (*node, error) {
	at := p.here()
	if p.inArray > 0 {
		return nil, p.unexpected("'=' or ':'", "'+=' cannot be used within an array")
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
	list := newCompound(element.place, nodeArray, compound{parts: []*node{element}})
	p.loader.unresolved++
	n := newCompound(at, nodeConcat, compound{parts: []*node{before, list}})
	n.selfReferring = true
	return n, nil
}

// refer returns the node of a substitution in this file.
func (p *parser) refer(at place, s *substitution) *node {
	p.pending = true
	p.loader.unresolved++
	s.prefix = p.prefix
	return newCompound(at, nodeSubstitution, compound{subst: s})
}

func (p *parser) array() (*node, error) {
	n := newCompound(p.here(), nodeArray, compound{})
	if err := p.enter(); err != nil {
		return nil, err
	}
	p.inArray++
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
	return n, p.leave()
}
