package hocon

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// A property is one line of a properties file.
type property struct {
	place
	key, value string
}

// parseProperties reads what java.util.Properties reads. All values are
// strings, and each key is a path whose elements are separated by dots.
func parseProperties(src *source, limits Limits) (*node, error) {
	if !utf8.ValidString(src.text) {
		return nil, invalidUTF8(src)
	}
	r := propertyReader{src: src}
	var all []property
	for {
		p, ok, err := r.next()
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		all = append(all, p)
	}
	return propertyTree(src, all, limits)
}

// propertyTree makes objects of the keys. Where a key has both a value and
// keys below it, the object wins, whichever comes first.
func propertyTree(src *source, all []property, limits Limits) (*node, error) {
	root, maker := &object{}, &fieldMaker{owner: &owner{}}
	for _, p := range all {
		path := strings.Split(p.key, ".")
		if len(path) > limits.Depth {
			return nil, &LimitError{Pos: p.position(), What: "nesting", Limit: int64(limits.Depth)}
		}
		o := root
		for _, key := range path[:len(path)-1] {
			o = o.descend(maker, key, p.place)
		}
		last := path[len(path)-1]
		if f := o.get(last); f != nil && f.defs[0].kind == nodeObject {
			continue
		}
		o.define(maker, last, p.place, &node{place: p.place, kind: nodeString, text: p.value})
	}
	// Objects that came after a string of the same key lie on top of it; let
	// them be all there is, so that a lower document may be merged with them.
	root.dropHidden()
	return &node{place: place{src: src}, kind: nodeObject, more: maker.own(&more{object: root})}, nil
}

func (o *object) dropHidden() {
	for _, f := range o.fields {
		f.defs = f.defs[len(f.defs)-1:]
		if f.defs[0].kind == nodeObject {
			f.defs[0].object.dropHidden()
		}
	}
}

// A propertyReader reads logical lines: those that end in an odd number of
// backslashes go on in the next.
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

func (r *propertyReader) next() (p property, ok bool, err error) {
	text := r.src.text
	if r.at == 0 {
		r.at += len(text) - len(strings.TrimPrefix(text, "\uFEFF"))
	}
	for {
		r.skip(propertySpace + "\r\n")
		if r.at >= len(text) {
			return p, false, nil
		}
		if text[r.at] != '#' && text[r.at] != '!' {
			break
		}
		if end := strings.IndexAny(text[r.at:], "\r\n"); end >= 0 {
			r.at += end
		} else {
			r.at = len(text)
		}
	}
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

// read decodes up to one of the characters in stop, or the end of the line.
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

func (r *propertyReader) escape(b *strings.Builder) error {
	text := r.src.text
	r.at++
	if r.at >= len(text) {
		return nil
	}
	switch c := text[r.at]; c {
	case '\r', '\n': // the line goes on
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
