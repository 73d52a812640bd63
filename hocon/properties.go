package hocon

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// A property is a key and a value of a properties file.
type property struct {
	place
	key, value string
}

// parseProperties parses the format of java.util.Properties (specification:
// "Java properties mapping"). All values are strings, and dots separate the
// elements of keys.
func parseProperties(src *source, l *loader) (*node, error) {
	r := propertyReader{src: src}
	root := newObject(place{src: src})
	for {
		p, ok, err := r.next()
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		if err := l.takeValues(p.place, 1); err != nil {
			return nil, err
		}
		if err := root.object.addProperty(p, l); err != nil {
			return nil, err
		}
	}
	// A string of the same key is hidden, and must not hide what a lower document
	// has below the key.
	root.object.dropHidden()
	return root, nil
}

// addProperty defines the key of a property. If a key has a value, and other
// keys are below it, the object with these wins.
func (o *object) addProperty(p property, l *loader) error {
	path := strings.Split(p.key, ".")
	if len(path) > l.limits.Depth {
		return l.tooDeep(p.place)
	}
	for _, key := range path[:len(path)-1] {
		o = o.descend(key, p.place)
	}
	last := path[len(path)-1]
	if f := o.get(last); f != nil && f.defs[0].kind == nodeObject {
		return nil
	}
	o.define(last, p.place, &node{place: p.place, kind: nodeString, text: p.value})
	return nil
}

// dropHidden drops all definitions but the last of each key.
func (o *object) dropHidden() {
	for _, f := range o.fields {
		f.defs = f.defs[len(f.defs)-1:]
		if f.defs[0].kind == nodeObject {
			f.defs[0].object.dropHidden()
		}
	}
}

// A propertyReader reads logical lines: one that ends in an odd number of
// backslashes continues on the next.
type propertyReader struct {
	src *source
	at  int
}

const propertySpace = " \t\f"

func (r *propertyReader) skip(chars string) {
	text := r.src.text
	for r.at < len(text) && strings.IndexByte(chars, text[r.at]) >= 0 {
		r.at++
	}
}

// next returns the next property. ok is false at the end of the file.
func (r *propertyReader) next() (p property, ok bool, err error) {
	if !r.skipToKey() {
		return p, false, nil
	}
	text := r.src.text
	p.place = place{r.src, r.at}
	if p.key, err = r.read(propertySpace + "=:"); err != nil {
		return p, false, err
	}
	r.skip(propertySpace)
	if r.at < len(text) && (text[r.at] == '=' || text[r.at] == ':') {
		r.at++
		r.skip(propertySpace)
	}
	p.value, err = r.read("")
	return p, true, err
}

// skipToKey skips white space, empty lines and comments. It reports whether a
// key follows.
func (r *propertyReader) skipToKey() bool {
	text := r.src.text
	if r.at == 0 {
		r.at += len(text) - len(strings.TrimPrefix(text, "\uFEFF"))
	}
	for {
		r.skip(propertySpace + "\r\n")
		if r.at >= len(text) {
			return false
		}
		if text[r.at] != '#' && text[r.at] != '!' {
			return true
		}
		if end := strings.IndexAny(text[r.at:], "\r\n"); end >= 0 {
			r.at += end
		} else {
			r.at = len(text)
		}
	}
}

// read decodes the text up to one of the characters in stop, or the end of the
// line.
func (r *propertyReader) read(stop string) (string, error) {
	text := r.src.text
	var b strings.Builder
	for r.at < len(text) {
		c := text[r.at]
		switch {
		case c == '\n' || c == '\r' || strings.IndexByte(stop, c) >= 0:
			return b.String(), nil
		case c == '\\':
			if err := r.escape(&b); err != nil {
				return "", err
			}
		default:
			b.WriteByte(c)
			r.at++
		}
	}
	return b.String(), nil
}

// escape decodes the escape sequence that starts with a backslash.
func (r *propertyReader) escape(b *strings.Builder) error {
	text := r.src.text
	r.at++
	if r.at >= len(text) {
		return nil
	}
	switch c := text[r.at]; c {
	case '\r', '\n': // the line continues
		r.at++
		if c == '\r' && r.at < len(text) && text[r.at] == '\n' {
			r.at++
		}
		r.skip(propertySpace)
		return nil
	case 'u':
		return r.unicode(b)
	case 't', 'n', 'r', 'f':
		b.WriteByte("\t\n\r\f"[strings.IndexByte("tnrf", c)])
	default:
		b.WriteByte(c)
	}
	r.at++
	return nil
}

// unicode decodes an escape sequence of UTF-16, whose u is next.
func (r *propertyReader) unicode(b *strings.Builder) error {
	text := r.src.text
	code, ok := hexRune(text, r.at-1)
	if !ok {
		return &SyntaxError{Pos: r.src.position(r.at - 1), Found: `\u without four hexadecimal digits`}
	}
	r.at += 5
	if utf16.IsSurrogate(code) {
		low, ok := hexRune(text, r.at)
		if pair := utf16.DecodeRune(code, low); ok && pair != utf8.RuneError {
			code = pair
			r.at += 6
		}
	}
	b.WriteRune(code)
	return nil
}
