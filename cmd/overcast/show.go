package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/overcast-go/overcast/hocon"
)

// shower shows values without their secrets.
type shower struct{ secrets secrets }

// json writes a value as one JSON document, its keys in the order of the file.
func (s *shower) json(out io.Writer, v *hocon.Value) error {
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
func (s *shower) lines(out io.Writer, v *hocon.Value) error {
	for _, child := range children(v) {
		if err := s.lines(out, child.value); err != nil {
			return err
		}
	}
	if len(children(v)) > 0 || v.Path() == "" {
		return nil
	}
	text, err := s.marshal(v)
	if err == nil {
		_, err = fmt.Fprintf(out, "%s = %s  # %s\n", v.Path(), text, v.Position())
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
		for _, value := range v.Elements() {
			list = append(list, child{"", value})
		}
	}
	return list
}

// marshal is a value as JSON, on one line.
func (s *shower) marshal(v *hocon.Value) ([]byte, error) {
	switch v.Kind() {
	case hocon.Object, hocon.Array:
		return s.marshalAll(v)
	case hocon.String, hocon.Number:
		text, err := v.String()
		if err != nil {
			return nil, err
		}
		if masked := s.secrets.mask(v, text); masked != text || v.Kind() == hocon.String {
			return quote(masked)
		}
	}
	return v.MarshalJSON()
}

func (s *shower) marshalAll(v *hocon.Value) ([]byte, error) {
	brackets := "[]"
	if v.Kind() == hocon.Object {
		brackets = "{}"
	}
	out := []byte{brackets[0]}
	for n, c := range children(v) {
		if n > 0 {
			out = append(out, ',')
		}
		if v.Kind() == hocon.Object {
			name, err := quote(c.key)
			if err != nil {
				return nil, err
			}
			out = append(append(out, name...), ':')
		}
		text, err := s.marshal(c.value)
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
