package hocon

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Decode stores the value in what dst points to: a struct, a map with string
// keys, a slice, or anything that one of their fields may be.
//
// Struct fields say in a tag which key they take:
//
//	type Host struct {
//		BaseDomain string        `hocon:"libvirtBaseDomain,alias=baseDomain,required"`
//		Passphrase string        `hocon:"passphrase,secret"`
//		Timeout    time.Duration `hocon:"timeout"` // 30, "30", 30s, 2 minutes
//		SSH        *SSH          `hocon:"SSH"`     // nil if it is not given
//		Extra      *hocon.Value  `hocon:"extra"`   // anything, as it is
//	}
//
// A field without a tag takes its own name with the first letter small, and
// one with `hocon:"-"` nothing. An alias is another name of the key, of which
// there may be several; giving a key twice by different names is an error. A
// required key must be there. What a secret field is given is not shown in
// errors; for a struct that is what stands in the place of the object, while
// the struct's own fields are secret if they say so. The fields of an embedded
// struct without a tag are as the struct's own.
//
// Nor do errors show what looks like a URL with a password, wherever it is.
//
// Fields may be strings, booleans, integers, floats, time.Duration (a bare
// number is seconds), Value or *Value, any encoding.TextUnmarshaler, structs,
// pointers, slices, and maps with string keys. What is in dst stays if the key
// is not given, or null.
//
// Keys that no field takes are errors; maps and Values take all.
//
// All errors are found: what Decode gives is one *ValueError, or several
// joined in the order of their positions. dst has then been filled in part.
func (v *Value) Decode(dst any) error { return new(decoder).run(v, dst) }

// DecodeKnown is [Value.Decode] for a value of which somebody else reads the
// rest: the keys of v itself that no field takes are passed over.
func (v *Value) DecodeKnown(dst any) error { return (&decoder{passOver: v.data}).run(v, dst) }

type decoder struct {
	errs     []*ValueError
	passOver *data // the object whose unknown keys are passed over, if any
}

func (d *decoder) run(v *Value, dst any) error {
	target := reflect.ValueOf(dst)
	if target.Kind() != reflect.Pointer || target.IsNil() {
		return fmt.Errorf("hocon: Decode into %T, which is not a pointer to something", dst)
	}
	d.decode(v, target.Elem())
	return d.joined()
}

// fail keeps an error. All that can come here are ValueErrors.
func (d *decoder) fail(err error) {
	var e *ValueError
	if errors.As(err, &e) {
		d.errs = append(d.errs, e)
	}
}

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
	valueType    = reflect.TypeFor[Value]()
	durationType = reflect.TypeFor[time.Duration]()
)

func (d *decoder) decode(v *Value, dst reflect.Value) {
	switch {
	case dst.Type() == valueType:
		dst.Set(reflect.ValueOf(*v))
		return
	case v.Kind() == Null:
		return
	case dst.Kind() == reflect.Pointer:
		d.pointer(v, dst)
		return
	case dst.Type() == durationType:
		duration, err := v.Duration(time.Second)
		d.set(err, func() { dst.SetInt(int64(duration)) })
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

func (d *decoder) set(err error, store func()) {
	if err != nil {
		d.fail(err)
		return
	}
	store()
}

func (d *decoder) pointer(v *Value, dst reflect.Value) {
	if dst.Type().Elem() == valueType {
		dst.Set(reflect.ValueOf(v))
		return
	}
	if dst.IsNil() {
		dst.Set(reflect.New(dst.Type().Elem()))
	}
	d.decode(v, dst.Elem())
}

func (d *decoder) text(v *Value, dst encoding.TextUnmarshaler, t reflect.Type) {
	text, err := v.String()
	if err != nil {
		d.fail(err)
		return
	}
	if err := dst.UnmarshalText([]byte(text)); err != nil {
		e := &ValueError{Pos: v.Position(), Path: v.shownPath(), Msg: fmt.Sprintf("%s is not a %s", v.shown(), t)}
		if !v.hidden() {
			e.Msg, e.Err = fmt.Sprintf("%s: %v", e.Msg, err), err
		}
		d.fail(e)
	}
}

func (d *decoder) scalar(v *Value, dst reflect.Value) {
	switch kind := dst.Kind(); kind {
	case reflect.String:
		s, err := v.String()
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
		d.fail(v.errorf("the program wants it in a %s, which hocon cannot decode into", dst.Type()))
	}
}

func (d *decoder) slice(v *Value, dst reflect.Value) {
	elements, err := v.List()
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
		d.fail(v.errorf("the program wants it in a %s, whose keys are no strings", t))
		return
	}
	if dst.IsNil() {
		dst.Set(reflect.MakeMapWithSize(t, len(v.data.fields)))
	}
	for _, key := range v.Keys() {
		element, _ := v.Get(key)
		if element.Kind() == Null && t.Elem() != valueType && t.Elem() != reflect.PointerTo(valueType) {
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
	if v.Kind() != Object {
		d.fail(v.isNot("an object"))
		return
	}
	fields := structFields(dst.Type())
	taken := make(map[string]bool)
	for _, f := range fields {
		d.structField(v, f, dst.FieldByIndex(f.at), taken)
	}
	if v.data == d.passOver {
		return
	}
	for _, key := range v.Keys() {
		if element, _ := v.Get(key); !taken[key] && element.Kind() != Null {
			d.fail(&ValueError{Pos: element.KeyPosition(), Path: v.shownPath(), Msg: unknownKey(key, fields)})
		}
	}
}

func (d *decoder) structField(v *Value, f structField, dst reflect.Value, taken map[string]bool) {
	var found *Value
	for _, name := range f.names {
		element, ok := v.Get(name)
		if !ok || element.Kind() == Null && found != nil {
			continue
		}
		taken[name] = true
		if found != nil && found.Kind() != Null {
			later, earlier := element, found
			if element.KeyPosition().before(found.KeyPosition()) {
				later, earlier = found, element
			}
			d.fail(&ValueError{Pos: later.KeyPosition(), Path: v.shownPath(), Msg: fmt.Sprintf(
				"%q is another name of %q, which is given at %s", later.step, earlier.step, earlier.KeyPosition())})
			continue
		}
		found = element
	}
	if found == nil || found.Kind() == Null {
		if f.required {
			d.fail(&ValueError{Pos: v.KeyPosition(), Path: v.shownPath(), Msg: fmt.Sprintf("%q is required, and not given", f.names[0])})
		}
		if found == nil || dst.Type() != valueType && dst.Type() != reflect.PointerTo(valueType) {
			return
		}
	}
	if f.secret && !(found.Kind() == Object && isSection(dst.Type())) {
		found.secret = true
	}
	d.decode(found, dst)
}

// isSection says whether the fields of a type decide for themselves which of
// them are secret.
func isSection(t reflect.Type) bool {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Kind() == reflect.Struct && t != valueType
}
