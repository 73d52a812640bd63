package hocon

import (
	"slices"
	"strings"
)

// include reads an include statement and puts the fields of what it names into
// o, as if they stood in its place.
func (p *parser) include(o *object) error {
	at := p.here()
	if err := p.advance(); err != nil {
		return err
	}
	if err := p.skipLines(); err != nil {
		return err
	}
	target, err := p.includeTarget()
	if err != nil {
		return err
	}
	target.at = at
	files, err := p.loader.find(p.file, target)
	if err != nil {
		return err
	}
	for _, f := range files {
		included, err := p.parseIncluded(f, target)
		if err != nil {
			return err
		}
		o.absorb(included.object)
	}
	return nil
}

// A target is what an include statement names.
type target struct {
	at       place
	name     string
	kind     string // "", "file", "url" or "classpath"
	required bool
}

func (t *target) fail(reason string, err error) error {
	return &IncludeError{Pos: t.at.position(), Name: t.name, Reason: reason, Err: err}
}

const includeForms = `a quoted file name, file("..."), or required(...) around one of them`

// includeTarget reads what follows "include". The lexer takes "file(" and the
// like for unquoted strings, and "))" for another.
func (p *parser) includeTarget() (*target, error) {
	t := &target{}
	open := 0
	for p.tok.kind == tokenUnquoted && p.tok.text != "" {
		form, rest, paren := strings.Cut(p.tok.text, "(")
		known := form == "required" && !t.required && t.kind == "" || t.kind == "" && slices.Contains([]string{"file", "url", "classpath"}, form)
		if !paren || !known {
			return nil, p.unexpected(includeForms+" after include", "")
		}
		if form == "required" {
			t.required = true
		} else {
			t.kind = form
		}
		open++
		p.lexer.at -= len(rest) // what follows the parenthesis is a token of its own
		if err := p.advance(); err != nil {
			return nil, err
		}
		if err := p.skipSpace(); err != nil {
			return nil, err
		}
	}
	if p.tok.kind != tokenQuoted {
		return nil, p.unexpected(includeForms+" after include", "a key that starts with include must be in double quotes")
	}
	t.name = p.tok.text
	if err := p.advance(); err != nil {
		return nil, err
	}
	return t, p.closeTarget(open)
}

// closeTarget takes the closing parentheses.
func (p *parser) closeTarget(open int) error {
	for ; open > 0; open-- {
		if err := p.skipSpace(); err != nil {
			return err
		}
		if p.tok.kind != tokenUnquoted || p.tok.text[0] != ')' {
			return p.unexpected("')'", "")
		}
		p.lexer.at = p.tok.start + 1
		if err := p.advance(); err != nil {
			return err
		}
	}
	return nil
}

// parseIncluded parses a file for the place where the parser is.
func (p *parser) parseIncluded(f *file, t *target) (*node, error) {
	f.includer, f.at = p.file, t.at
	inner := &parser{loader: p.loader, file: f, depth: p.depth}
	inner.prefix = slices.Concat(p.prefix, p.path)
	root, err := p.loader.parse(f, inner)
	if err != nil {
		return nil, err
	}
	if p.inArray > 0 && inner.pending {
		return nil, t.fail("it has substitutions, and no path leads into the array that it is included in", nil)
	}
	p.pending = p.pending || inner.pending
	return root, nil
}
