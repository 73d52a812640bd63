package hocon

import (
	"strconv"
	"strings"
)

// A pathBuilder makes the elements of a path expression from its tokens. Dots
// outside of quotes separate elements; white space counts between tokens, and
// not at the ends.
type pathBuilder struct {
	elements []string
	current  string // the element so far, or its start
	rest     []byte // current and what comes after it, if there is more
	quoted   bool   // current has a quoted part, so it may be empty
	space    string
	started  bool
}

// add takes the next token. It gives what is wrong with the path, or "".
func (b *pathBuilder) add(t token) string {
	if t.kind == tokenSpace {
		if b.started {
			b.space = t.text
		}
		return ""
	}
	b.started = true
	if b.space != "" {
		b.join(b.space)
		b.space = ""
	}
	if t.kind == tokenQuoted {
		b.quoted = true
		b.join(t.text)
		return ""
	}
	text := t.text
	for {
		element, rest, dot := strings.Cut(text, ".")
		b.join(element)
		if !dot {
			return ""
		}
		if problem := b.end(); problem != "" {
			return problem
		}
		text = rest
	}
}

func (b *pathBuilder) join(s string) {
	switch {
	case len(b.rest) > 0:
		b.rest = append(b.rest, s...)
	case b.current == "":
		b.current = s
	case s != "":
		b.rest = append(append(b.rest, b.current...), s...)
	}
}

func (b *pathBuilder) end() string {
	if len(b.rest) > 0 {
		b.current, b.rest = string(b.rest), b.rest[:0]
	}
	if b.current == "" && !b.quoted {
		return `a path must not start or end with a dot or have two in a row; an element that is empty is written ""`
	}
	b.elements = append(b.elements, b.current)
	b.current, b.quoted = "", false
	return ""
}

// finish gives all elements, or what is wrong with the path.
func (b *pathBuilder) finish() ([]string, string) {
	if !b.started {
		return nil, "a path has at least one element"
	}
	problem := b.end()
	return b.elements, problem
}

// reset makes b fit for the next path; the elements it gave are overwritten.
func (b *pathBuilder) reset() {
	*b = pathBuilder{elements: b.elements[:0], rest: b.rest[:0]}
}

// isPathToken tells whether a token may be part of a path expression.
func isPathToken(k tokenKind) bool {
	switch k {
	case tokenQuoted, tokenUnquoted, tokenNumber, tokenBoolean, tokenNull, tokenSpace:
		return true
	}
	return false
}

// parsePath reads a path expression that stands by itself, as Lookup takes it.
func parsePath(expression string) ([]string, error) {
	src := &source{name: "path", text: expression}
	lex := lexer{src: src}
	var b pathBuilder
	for {
		t, err := lex.next()
		if err != nil {
			return nil, err
		}
		if t.kind == tokenEnd {
			break
		}
		problem := ""
		if isPathToken(t.kind) {
			problem = b.add(t)
		} else {
			problem = "it must be in double quotes to be part of a path"
		}
		if problem != "" {
			return nil, &SyntaxError{Pos: src.position(t.start), Found: t.describe(), Hint: problem}
		}
	}
	path, problem := b.finish()
	if problem != "" {
		return nil, &SyntaxError{Pos: src.position(0), Found: strconv.Quote(expression), Hint: problem}
	}
	return path, nil
}

// renderPath writes a path expression that reads as these elements.
func renderPath(elements []string) string {
	var b strings.Builder
	for i, element := range elements {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(renderElement(element))
	}
	return b.String()
}

func renderElement(element string) string {
	for _, c := range element {
		plain := c == '-' || c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c > 0x7f && !wideSpace(c)
		if !plain {
			return quote(element)
		}
	}
	if element == "" {
		return `""`
	}
	return element
}
