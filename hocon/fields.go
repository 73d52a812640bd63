package hocon

import (
	"fmt"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A structField is what the tag of a field says.
type structField struct {
	at       []int    // for reflect.Value.FieldByIndex
	names    []string // of the key, and its aliases
	required bool
	secret   bool
}

// structFields are those of t, and of the structs that are embedded in it.
func structFields(t reflect.Type) []structField {
	var fields []structField
	for i := range t.NumField() {
		f := t.Field(i)
		tag, tagged := f.Tag.Lookup("hocon")
		switch {
		case tag == "-":
		case f.Anonymous && !tagged && f.Type.Kind() == reflect.Struct:
			for _, inner := range structFields(f.Type) {
				inner.at = append([]int{i}, inner.at...)
				fields = append(fields, inner)
			}
		case f.IsExported():
			fields = append(fields, parseTag(i, f.Name, tag))
		}
	}
	return fields
}

// parseTag panics if it cannot read the tag: no input makes it readable.
func parseTag(i int, fieldName, tag string) structField {
	name, options, _ := strings.Cut(tag, ",")
	if name == "" {
		r, size := utf8.DecodeRuneInString(fieldName)
		name = string(unicode.ToLower(r)) + fieldName[size:]
	}
	f := structField{at: []int{i}, names: []string{name}}
	for option := range strings.SplitSeq(options, ",") {
		alias, isAlias := strings.CutPrefix(option, "alias=")
		switch {
		case isAlias:
			f.names = append(f.names, alias)
		case option == "required":
			f.required = true
		case option == "secret":
			f.secret = true
		case option != "":
			panic(fmt.Sprintf("hocon: field %s: unknown option %q in its tag", fieldName, option))
		}
	}
	return f
}

// unknownKey says so, and which key could have been meant.
func unknownKey(key string, fields []structField) string {
	if mayHoldSecret(key) {
		return "unknown key: a key that looks like a URL, or holds a password"
	}
	nearest, distance := "", len(key)/3+2
	for _, f := range fields {
		for _, name := range f.names {
			if d := editDistance(strings.ToLower(key), strings.ToLower(name)); d < distance {
				nearest, distance = name, d
			}
		}
	}
	key = abbreviate(key)
	if nearest != "" {
		return fmt.Sprintf("unknown key %q, did you mean %q?", key, nearest)
	}
	return fmt.Sprintf("unknown key %q", key)
}

// editDistance counts the letters to insert, drop, replace or swap with their
// neighbour to make a into b.
func editDistance(a, b string) int {
	s, t := []rune(a), []rune(b)
	var before, last []int
	row := make([]int, len(t)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(s); i++ {
		before, last, row = last, row, make([]int, len(t)+1)
		row[0] = i
		for j := 1; j <= len(t); j++ {
			cost := 1
			if s[i-1] == t[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && s[i-1] == t[j-2] && s[i-2] == t[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(t)]
}
