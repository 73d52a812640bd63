package hocon

import (
	"encoding"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/overcast-go/overcast/internal/editdistance"
	"github.com/overcast-go/overcast/internal/redact"
)

// Decode stores the value in what dst points to: a struct, a map with string
// keys, a slice, or any type that a field may have.
//
// Struct tags name the keys:
//
//	type Host struct {
//		BaseDomain string        `hocon:"libvirtBaseDomain,alias=baseDomain,required"`
//		Passphrase string        `hocon:"passphrase,secret"`
//		Timeout    time.Duration `hocon:"timeout"` // 30, "30", 30s, 2 minutes
//		Memory     hocon.Size    `hocon:"memory"`  // 1G, "512 MiB", 1048576
//		SSH        *SSH          `hocon:"SSH"`     // stays nil without the key
//		Extra      *hocon.Value  `hocon:"extra"`   // any value, not converted
//	}
//
// Without a tag, a field has the key of its name with a lower-case first letter.
// The tag "-" excludes a field. The fields of an embedded struct without a tag
// count as those of the outer struct. The options of a tag are:
//
//   - alias=KEY: another name of the key. It is an error to set a key by two names.
//   - bare: a value that is no object, where the struct is expected, is that of this
//     field: "cache = true" means "cache.enabled = true".
//   - required: it is an error if the key is missing or null.
//   - secret: errors do not contain the value. For a struct this means a value
//     that is not an object; the fields of the struct have their own options.
//
// The tag example:"[a, b]" of a slice is part of the error of a value that is no array.
//
// Errors never contain values or keys that look like a URL with a password.
//
// A field may be a string, boolean, integer, float, [time.Duration] (a number is
// in seconds), [Size], *[Value], [encoding.TextUnmarshaler], struct, pointer,
// slice, or map with string keys. A field whose key is missing or null keeps its
// value, so set defaults before.
//
// A key that no field has is an error; maps and *Value accept all keys.
//
// Decode fails with a *[ValueError], or with several of them, joined in the order
// of their positions; dst then has what could be decoded. It panics if a tag has
// an unknown option.
func (v *Value) Decode(dst any) error { return new(decoder).run(v, dst) }

// DecodeKnown is [Value.Decode] without errors for unknown keys of v, for a
// value that different structs take their keys from. Unknown keys of objects
// within v are errors.
func (v *Value) DecodeKnown(dst any) error {
	return (&decoder{partial: v.content().data}).run(v, dst)
}

type decoder struct {
	errs    []*ValueError
	partial *data // the object whose unknown keys are not errors, or nil
}

func (d *decoder) run(v *Value, dst any) error {
	target := reflect.ValueOf(dst)
	if target.Kind() != reflect.Pointer || target.IsNil() {
		return fmt.Errorf("hocon: decoding into a %T: not a pointer: pass the address of a variable", dst)
	}
	d.decode(v, target.Elem())
	return d.joined()
}

// fail adds an error, which is a ValueError.
func (d *decoder) fail(err error) {
	var e *ValueError
	if errors.As(err, &e) {
		d.errs = append(d.errs, e)
	}
}

// joined returns all errors in the order of their positions.
func (d *decoder) joined() error {
	slices.SortStableFunc(d.errs, func(a, b *ValueError) int {
		switch {
		case a.Pos.before(b.Pos):
			return -1
		case b.Pos.before(a.Pos):
			return 1
		}
		return strings.Compare(a.Path, b.Path)
	})
	switch len(d.errs) {
	case 0:
		return nil
	case 1:
		return d.errs[0]
	}
	all := make([]error, len(d.errs))
	for i, err := range d.errs {
		all[i] = err
	}
	return errors.Join(all...)
}

var (
	valueType    = reflect.TypeFor[*Value]()
	durationType = reflect.TypeFor[time.Duration]()
	sizeType     = reflect.TypeFor[Size]()
	addressType  = reflect.TypeFor[netip.Addr]()
	prefixType   = reflect.TypeFor[netip.Prefix]()
)

func (d *decoder) decode(v *Value, dst reflect.Value) {
	switch {
	case dst.Type() == valueType:
		dst.Set(reflect.ValueOf(v))
		return
	case v.Kind() == Null:
		return
	case dst.Kind() == reflect.Pointer:
		if dst.IsNil() {
			dst.Set(reflect.New(dst.Type().Elem()))
		}
		d.decode(v, dst.Elem())
		return
	case dst.Type() == durationType:
		duration, err := v.Duration(time.Second)
		d.set(err, func() { dst.SetInt(int64(duration)) })
		return
	case dst.Type() == sizeType:
		bytes, err := v.Bytes()
		d.set(err, func() { dst.SetInt(bytes) })
		return
	}
	if text, ok := dst.Addr().Interface().(encoding.TextUnmarshaler); ok {
		d.text(v, text, dst.Type())
		return
	}
	switch dst.Kind() {
	case reflect.Struct:
		d.structure(v, dst)
	case reflect.Map:
		d.mapping(v, dst)
	case reflect.Slice:
		d.slice(v, dst)
	default:
		d.scalar(v, dst)
	}
}

// set calls store unless there is an error.
func (d *decoder) set(err error, store func()) {
	if err != nil {
		d.fail(err)
		return
	}
	store()
}

func (d *decoder) text(v *Value, dst encoding.TextUnmarshaler, t reflect.Type) {
	text, err := v.Text()
	if err != nil {
		d.fail(err)
		return
	}
	if err := dst.UnmarshalText([]byte(text)); err != nil {
		e := &ValueError{Pos: v.Position(), Path: v.shownPath(), Msg: fmt.Sprintf("%s is not %s", v.shown(), describeType(t))}
		if !v.hidden() {
			e.Err = err
			if t != addressType { // its error repeats the value
				e.Msg = fmt.Sprintf("%s: %v", e.Msg, err)
			}
		}
		d.fail(e)
	}
}

// describeType describes the values of a type for the author of a configuration.
func describeType(t reflect.Type) string {
	switch t {
	case addressType:
		return "an IP address"
	case prefixType:
		return "a network such as 10.0.0.0/8"
	}
	return "a valid " + t.Name()
}

func (d *decoder) scalar(v *Value, dst reflect.Value) {
	switch kind := dst.Kind(); kind {
	case reflect.String:
		s, err := v.Text()
		d.set(err, func() { dst.SetString(s) })
	case reflect.Bool:
		b, err := v.Bool()
		d.set(err, func() { dst.SetBool(b) })
	case reflect.Float32, reflect.Float64:
		f, err := v.Float()
		if err == nil && dst.OverflowFloat(f) {
			err = v.errorf("%s is too large a number", v.shown())
		}
		d.set(err, func() { dst.SetFloat(f) })
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		i, err := v.Int()
		if err == nil && dst.OverflowInt(i) {
			err = v.errorf("%s does not fit %d bits", v.shown(), dst.Type().Bits())
		}
		d.set(err, func() { dst.SetInt(i) })
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		i, err := v.Int()
		if err == nil && (i < 0 || dst.OverflowUint(uint64(i))) {
			err = v.errorf("%s is negative or does not fit %d bits", v.shown(), dst.Type().Bits())
		}
		d.set(err, func() { dst.SetUint(uint64(i)) })
	default:
		d.fail(v.errorf("hocon cannot decode into the Go type %s", dst.Type()))
	}
}

func (d *decoder) slice(v *Value, dst reflect.Value) {
	elements, err := v.Elements()
	if err != nil {
		d.fail(err)
		return
	}
	slice := reflect.MakeSlice(dst.Type(), len(elements), len(elements))
	for i, element := range elements {
		d.decode(element, slice.Index(i))
	}
	dst.Set(slice)
}

func (d *decoder) mapping(v *Value, dst reflect.Value) {
	if v.Kind() != Object {
		d.fail(v.isNot("an object"))
		return
	}
	t := dst.Type()
	if t.Key().Kind() != reflect.String {
		d.fail(v.errorf("hocon cannot decode into the Go type %s: its keys are not strings", t))
		return
	}
	keys := v.Keys()
	if dst.IsNil() {
		dst.Set(reflect.MakeMapWithSize(t, len(keys)))
	}
	for _, key := range keys {
		element, _ := v.Get(key)
		if element.Kind() == Null && t.Elem() != valueType {
			continue
		}
		name := reflect.ValueOf(key).Convert(t.Key())
		decoded := reflect.New(t.Elem()).Elem()
		if before := dst.MapIndex(name); before.IsValid() {
			decoded.Set(before)
		}
		d.decode(element, decoded)
		dst.SetMapIndex(name, decoded)
	}
}

func (d *decoder) structure(v *Value, dst reflect.Value) {
	fields := structFields(dst.Type())
	if v.Kind() != Object {
		d.bare(v, fields, dst)
		return
	}
	known := make(map[string]bool)
	for _, f := range fields {
		d.structField(v, f, dst.FieldByIndex(f.index), known)
	}
	if v.content().data == d.partial {
		return
	}
	for _, key := range v.Keys() {
		if element, _ := v.Get(key); !known[key] && element.Kind() != Null {
			d.fail(&ValueError{Pos: element.KeyPosition(), Path: v.shownPath(), Msg: unknownKey(key, fields)})
		}
	}
}

// bare decodes a value in the place of an object.
func (d *decoder) bare(v *Value, fields []structField, dst reflect.Value) {
	for _, f := range fields {
		if f.bare {
			d.decode(v, dst.FieldByIndex(f.index))
			return
		}
	}
	d.fail(v.isNot("an object"))
}

func (d *decoder) structField(v *Value, f structField, dst reflect.Value, known map[string]bool) {
	found := d.find(v, f, known)
	if found == nil || found.Kind() == Null {
		if f.required {
			d.fail(&ValueError{Pos: v.KeyPosition(), Path: v.shownPath(), Msg: fmt.Sprintf("%q is required but missing", f.names[0])})
		}
		if found == nil {
			return
		}
	}
	if f.secret && !(found.Kind() == Object && isSection(dst.Type())) {
		found.content().secret = true // Get returned a new Value
	}
	if f.example != "" && dst.Kind() == reflect.Slice && found.Kind() != Null {
		if _, err := found.Elements(); err != nil {
			d.fail(found.isNot("an array, such as " + f.example))
			return
		}
	}
	d.decode(found, dst)
}

// find returns the value of a key, under any of its names, or nil.
func (d *decoder) find(v *Value, f structField, known map[string]bool) *Value {
	var found *Value
	for _, name := range f.names {
		element, ok := v.Get(name)
		if !ok || element.Kind() == Null && found != nil {
			continue
		}
		known[name] = true
		if found != nil && found.Kind() != Null {
			d.fail(setTwice(found, element, v.shownPath()))
			continue
		}
		found = element
	}
	return found
}

// setTwice is the error of a key that is set by two of its names.
func setTwice(a, b *Value, path string) error {
	later, earlier := a, b
	if a.KeyPosition().before(b.KeyPosition()) {
		later, earlier = b, a
	}
	return &ValueError{Pos: later.KeyPosition(), Path: path, Msg: fmt.Sprintf("key %q means the same as %q, which is set at %s: remove one of them",
		later.content().step, earlier.content().step, earlier.KeyPosition())}
}

// isSection reports whether a type has fields that have the option secret, or
// not, of their own.
func isSection(t reflect.Type) bool {
	for t.Kind() == reflect.Pointer && t != valueType {
		t = t.Elem()
	}
	return t.Kind() == reflect.Struct
}

// A structField is the field of a struct with what its tag says.
type structField struct {
	index    []int    // for reflect.Value.FieldByIndex
	names    []string // the key and its aliases
	required bool
	secret   bool
	bare     bool
	example  string
}

// structFields returns the fields of t, and of structs embedded in it.
func structFields(t reflect.Type) []structField {
	var fields []structField
	for i := range t.NumField() {
		f := t.Field(i)
		tag, tagged := f.Tag.Lookup("hocon")
		switch {
		case tag == "-":
		case f.Anonymous && !tagged && f.Type.Kind() == reflect.Struct:
			for _, inner := range structFields(f.Type) {
				inner.index = append([]int{i}, inner.index...)
				fields = append(fields, inner)
			}
		case f.IsExported():
			field := parseTag(i, f.Name, tag)
			field.example = f.Tag.Get("example")
			fields = append(fields, field)
		}
	}
	return fields
}

// parseTag panics if the tag is invalid, which is a mistake in the program.
func parseTag(i int, fieldName, tag string) structField {
	name, options, _ := strings.Cut(tag, ",")
	if name == "" {
		r, size := utf8.DecodeRuneInString(fieldName)
		name = string(unicode.ToLower(r)) + fieldName[size:]
	}
	f := structField{index: []int{i}, names: []string{name}}
	for option := range strings.SplitSeq(options, ",") {
		alias, isAlias := strings.CutPrefix(option, "alias=")
		switch {
		case isAlias:
			f.names = append(f.names, alias)
		case option == "required":
			f.required = true
		case option == "secret":
			f.secret = true
		case option == "bare":
			f.bare = true
		case option != "":
			panic(fmt.Sprintf("hocon: tag of field %s: unknown option %q", fieldName, option))
		}
	}
	return f
}

// unknownKey returns the message for an unknown key, with the most similar known
// one.
func unknownKey(key string, fields []structField) string {
	if redact.MayHoldSecret(key) {
		return "unknown key (hidden): it looks like a URL or a password"
	}
	var names []string
	for _, f := range fields {
		names = append(names, f.names...)
	}
	nearest := editdistance.Nearest(key, names, len(key)/3+1)
	key = abbreviate(key)
	if nearest != "" {
		return fmt.Sprintf("unknown key %q, did you mean %q?", key, nearest)
	}
	return fmt.Sprintf("unknown key %q", key)
}

// Schema returns a JSON schema for the values that [Value.Decode] stores in a type like
// that of v: a struct or a pointer to one. It panics if a tag has an unknown option.
//
// Numbers and booleans may also be strings, as in HOCON. A required key is not required
// in the schema: it may come from another file.
func Schema(v any) map[string]any { return schemaOf(reflect.TypeOf(v)) }

func schemaOf(t reflect.Type) map[string]any {
	for t.Kind() == reflect.Pointer && t != valueType {
		t = t.Elem()
	}
	switch {
	case t == valueType:
		return map[string]any{}
	case t == durationType:
		return typed("a duration: a number of seconds, or a text such as 30s", "number", "string")
	case t == sizeType:
		return typed("a size: a number of bytes, or a text such as 512 MiB", "number", "string")
	case reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		return typed("", "string")
	}
	switch t.Kind() {
	case reflect.Struct:
		return structSchema(t)
	case reflect.Slice:
		return map[string]any{"type": "array", "items": schemaOf(t.Elem())}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": schemaOf(t.Elem())}
	case reflect.Bool:
		return typed("", "boolean", "string")
	case reflect.String:
		return typed("", "string", "number", "boolean")
	default:
		return typed("", "number", "string")
	}
}

// structSchema is the schema of an object with the keys of a struct.
func structSchema(t reflect.Type) map[string]any {
	properties := map[string]any{}
	var types any = "object"
	for _, f := range structFields(t) {
		inner := schemaOf(t.FieldByIndex(f.index).Type)
		for _, name := range f.names {
			properties[name] = inner
		}
		if bare, ok := inner["type"].([]string); ok && f.bare {
			types = append([]string{"object"}, bare...)
		}
	}
	return map[string]any{"type": types, "properties": properties, "additionalProperties": false}
}

// typed is the schema of a value of one of the types, or null.
func typed(description string, types ...string) map[string]any {
	schema := map[string]any{"type": append(types, "null")}
	if description != "" {
		schema["description"] = description
	}
	return schema
}
