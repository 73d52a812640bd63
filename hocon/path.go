package hocon

import (
	"strconv"
	"strings"
)

// A pathBuilder assembles the elements of a path expression from its tokens
// (specification: "Path expressions"). Dots outside quotes separate elements.
// White space counts between tokens, but not at the start and the end.
type pathBuilder struct {
	elements []string
	current  string // the current element, or its start
	buffer   []byte // the current element if it has several parts
	quoted   bool   // the current element has a quoted part, so it may be empty
	space    string
	started  bool
}

// add appends a token. It returns what is wrong with the path, or "".
func (b *pathBuilder) add(t token) string {
	if t.kind == tokenSpace {
		if b.started {
			b.space = t.text
		}
		return ""
	}
	b.started = true
	if b.space != "" {
		b.extend(b.space)
		b.space = ""
	}
	if t.kind == tokenQuoted {
		b.quoted = true
		b.extend(t.text)
		return ""
	}
	text := t.text
	for {
		element, rest, dot := strings.Cut(text, ".")
		b.extend(element)
		if !dot {
			return ""
		}
		if problem := b.endElement(); problem != "" {
			return problem
		}
		text = rest
	}
}

// extend appends a text to the current element.
func (b *pathBuilder) extend(s string) {
	switch {
	case len(b.buffer) > 0:
		b.buffer = append(b.buffer, s...)
	case b.current == "":
		b.current = s
	case s != "":
		b.buffer = append(append(b.buffer, b.current...), s...)
	}
}

func (b *pathBuilder) endElement() string {
	if len(b.buffer) > 0 {
		b.current, b.buffer = string(b.buffer), b.buffer[:0]
	}
	if b.current == "" && !b.quoted {
		return `a path cannot start or end with a dot or have two dots in a row: write an empty element as ""`
	}
	b.elements = append(b.elements, b.current)
	b.current, b.quoted = "", false
	return ""
}

// finish returns all elements, or what is wrong with the path.
func (b *pathBuilder) finish() (elements []string, problem string) {
	if !b.started {
		return nil, "a path needs at least one element"
	}
	problem = b.endElement()
	return b.elements, problem
}

// reset prepares b for the next path, which overwrites the elements of the last.
func (b *pathBuilder) reset() {
	*b = pathBuilder{elements: b.elements[:0], buffer: b.buffer[:0]}
}

// isPathToken reports whether a token can be part of a path expression.
func isPathToken(k tokenKind) bool {
	switch k {
	case tokenQuoted, tokenUnquoted, tokenNumber, tokenBoolean, tokenNull, tokenSpace:
		return true
	}
	return false
}

// parsePath parses a path expression that is not part of a file.
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
		problem := "put it in double quotes to use it in a path"
		if isPathToken(t.kind) {
			problem = b.add(t)
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

// renderPath returns a path expression with these elements.
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

// renderElement returns an element of a path expression, quoted where needed.
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
