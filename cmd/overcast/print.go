package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/overcast-go/overcast/hocon"
	"github.com/overcast-go/overcast/internal/redact"
)

// A printer prints values without their secrets.
type printer struct{ secrets *secrets }

// A printedValue is a value and how to print it.
type printedValue struct {
	*hocon.Value
	path   string // without secrets
	secret bool   // a key on the way to the value makes it a secret
}

func (p *printer) root(root *hocon.Value) printedValue { return printedValue{Value: root} }

// child returns a value below another.
func (p *printer) child(parent printedValue, c child) printedValue {
	step := strings.TrimPrefix(c.value.Path(), parent.Path())
	if masked := p.secrets.mask(c.key); masked != c.key {
		step = strconv.Quote(masked)
		if parent.path != "" {
			step = "." + step
		}
	}
	return printedValue{c.value, parent.path + step, parent.secret || p.secrets.isSecretKey(c.key) || isUserData(c)}
}

// json prints a value as one JSON document, with keys in the order of the file.
func (p *printer) json(out io.Writer, v printedValue) error {
	text, err := p.marshal(v)
	if err != nil {
		return err
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, text, "", "  "); err != nil {
		return err
	}
	indented.WriteByte('\n')
	_, err = indented.WriteTo(out)
	return err
}

// lines prints each scalar and empty container on a line, with its path and
// position.
func (p *printer) lines(out io.Writer, v printedValue) error {
	list := children(v.Value)
	for _, c := range list {
		if err := p.lines(out, p.child(v, c)); err != nil {
			return err
		}
	}
	if len(list) > 0 || v.path == "" {
		return nil
	}
	text, err := p.marshal(v)
	if err == nil {
		_, err = fmt.Fprintf(out, "%s = %s  # %s\n", v.path, text, v.Position())
	}
	return err
}

// A child is a value in an object, with its key, or in an array.
type child struct {
	key   string
	value *hocon.Value
}

func children(v *hocon.Value) []child {
	var list []child
	switch v.Kind() {
	case hocon.Object:
		for _, key := range v.Keys() {
			value, _ := v.Get(key)
			list = append(list, child{key, value})
		}
	case hocon.Array:
		elements, _ := v.Elements() // an array has elements
		for _, value := range elements {
			list = append(list, child{"", value})
		}
	}
	return list
}

// marshal returns a value as JSON on one line.
func (p *printer) marshal(v printedValue) ([]byte, error) {
	switch kind := v.Kind(); {
	case kind == hocon.Object || kind == hocon.Array:
		return p.marshalContainer(v)
	case v.secret && kind != hocon.Null:
		return quote(redact.Mask)
	case kind == hocon.String || kind == hocon.Number:
		text, err := v.Text()
		if err != nil {
			return nil, err
		}
		if masked := p.secrets.mask(text); masked != text || kind == hocon.String {
			return quote(masked)
		}
	}
	return v.MarshalJSON()
}

func (p *printer) marshalContainer(v printedValue) ([]byte, error) {
	brackets := "[]"
	if v.Kind() == hocon.Object {
		brackets = "{}"
	}
	out := []byte{brackets[0]}
	for n, c := range children(v.Value) {
		if n > 0 {
			out = append(out, ',')
		}
		if v.Kind() == hocon.Object {
			name, err := quote(p.secrets.mask(c.key))
			if err != nil {
				return nil, err
			}
			out = append(append(out, name...), ':')
		}
		text, err := p.marshal(p.child(v, c))
		if err != nil {
			return nil, err
		}
		out = append(out, text...)
	}
	return append(out, brackets[1]), nil
}

// quote returns a JSON string in which & and < stay readable. It is also a string of HOCON
// and of Go.
func quote(text string) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(text)
	return bytes.TrimSpace(out.Bytes()), err
}

// secrets are the parts of a configuration that are not printed.
type secrets struct {
	passwords bool     // the values of keys that end in password are secrets
	values    []string // secrets that were found, which are masked everywhere
}

var (
	passphraseKey = regexp.MustCompile(`(?i)passphrases?\s*$`)
	passwordKey   = regexp.MustCompile(`(?i)passwords?\s*$`)
)

// minLength is the length from which a secret is masked in other values as well:
// nearly all of them contain "a".
const minLength = 4

// findSecrets collects the secrets of a configuration.
func findSecrets(root *hocon.Value, passwords bool) *secrets {
	s := &secrets{passwords: passwords}
	s.collect(root, false)
	return s
}

// isSecretKey reports whether everything below a key is secret.
func (s *secrets) isSecretKey(key string) bool {
	return passphraseKey.MatchString(key) || s.passwords && passwordKey.MatchString(key)
}

// isUserData reports whether a child is user data for cloud-init, which may contain
// passwords in any form, and not the path of a file with it.
func isUserData(c child) bool {
	if c.key != "userData" || c.value.Kind() != hocon.String {
		return false
	}
	text, _ := c.value.Text() // a string has a text
	return strings.ContainsAny(text, "#\n")
}

// collect adds the secrets in v. With secret, everything in v is a secret.
func (s *secrets) collect(v *hocon.Value, secret bool) {
	for _, c := range children(v) {
		s.add(c.key, false)
		s.collect(c.value, secret || s.isSecretKey(c.key) || isUserData(c))
	}
	if kind := v.Kind(); kind == hocon.String || kind == hocon.Number {
		text, _ := v.Text() // a string or number has a text
		s.add(text, secret)
	}
}

// add adds the secrets in a text. With secret, the whole text is one.
func (s *secrets) add(text string, secret bool) {
	_, found := redact.Redact(text)
	if secret {
		found = append(found, text)
	}
	for _, value := range found {
		if len(value) >= minLength {
			s.values = append(s.values, value)
		}
	}
}

// mask returns a text with the secrets in it masked.
func (s *secrets) mask(text string) string {
	return redact.Hide(redact.Text(text), s.values)
}
