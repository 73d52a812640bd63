package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/overcast-go/overcast/hocon"
)

// shower shows values without their secrets.
type shower struct{ secrets *secrets }

// shownValue is a value, and how it is shown.
type shownValue struct {
	*hocon.Value
	path   string // without secrets
	secret bool   // because of a key that leads to it
}

func (s *shower) top(root *hocon.Value) shownValue { return shownValue{Value: root} }

// below is how a child of a value is shown.
func (s *shower) below(parent shownValue, c child) shownValue {
	step := strings.TrimPrefix(c.value.Path(), parent.Path())
	if masked := s.secrets.mask(c.key); masked != c.key {
		step = strconv.Quote(masked)
		if parent.path != "" {
			step = "." + step
		}
	}
	return shownValue{c.value, parent.path + step, parent.secret || s.secrets.secretKey(c.key)}
}

// json writes a value as one JSON document, its keys in the order of the file.
func (s *shower) json(out io.Writer, v shownValue) error {
	text, err := s.marshal(v)
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

// lines writes each value on a line of its own, with the place it came from.
func (s *shower) lines(out io.Writer, v shownValue) error {
	list := children(v.Value)
	for _, c := range list {
		if err := s.lines(out, s.below(v, c)); err != nil {
			return err
		}
	}
	if len(list) > 0 || v.path == "" {
		return nil
	}
	text, err := s.marshal(v)
	if err == nil {
		_, err = fmt.Fprintf(out, "%s = %s  # %s\n", v.path, text, v.Position())
	}
	return err
}

// child is a value in an object, by its key, or in an array.
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

// marshal is a value as JSON, on one line.
func (s *shower) marshal(v shownValue) ([]byte, error) {
	switch kind := v.Kind(); {
	case kind == hocon.Object || kind == hocon.Array:
		return s.marshalAll(v)
	case v.secret && kind != hocon.Null:
		return quote(mask)
	case kind == hocon.String || kind == hocon.Number:
		text, err := v.Text()
		if err != nil {
			return nil, err
		}
		if masked := s.secrets.mask(text); masked != text || kind == hocon.String {
			return quote(masked)
		}
	}
	return v.MarshalJSON()
}

func (s *shower) marshalAll(v shownValue) ([]byte, error) {
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
			name, err := quote(s.secrets.mask(c.key))
			if err != nil {
				return nil, err
			}
			out = append(append(out, name...), ':')
		}
		text, err := s.marshal(s.below(v, c))
		if err != nil {
			return nil, err
		}
		out = append(out, text...)
	}
	return append(out, brackets[1]), nil
}

// quote is a JSON string that a person can read: & and < stay what they are.
func quote(text string) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(text)
	return bytes.TrimSpace(out.Bytes()), err
}
