package hocon_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/onsi/gomega/format"
	"github.com/overcast-go/overcast/hocon"
	"github.com/stretchr/testify/assert"
)

// conversion returns a converted value, or its error without the position.
func conversion[T any](value T, err error) string {
	if err != nil {
		_, message, _ := strings.Cut(err.Error(), ": v: ")
		return message
	}
	return fmt.Sprint(value)
}

func TestConversions(t *testing.T) {
	const seconds, bytes = "a number of seconds or a duration, such as 30 or 2 minutes", "a number of bytes or a size, such as 512 MiB or 20 GB"
	tests := []struct{ text, to, want string }{
		{`30`, "duration", "30s"},
		{`"30"`, "duration", "30s"},
		{`0.5`, "duration", "500ms"},
		{`2 minutes`, "duration", "2m0s"},
		{`" 1.5 h "`, "duration", "1h30m0s"},
		{`-500ms`, "duration", "-500ms"},
		{`"+10ns"`, "duration", "10ns"},
		{`1e3us`, "duration", "1ms"},
		{`1 day`, "duration", "24h0m0s"},
		{`4878955355435272204ns`, "duration", "1355265h22m35.435272204s"},
		{`soon`, "duration", `"soon" is not ` + seconds},
		{`10 parsecs`, "duration", `"10 parsecs" is not ` + seconds},
		{`1 S`, "duration", `"1 S" is not ` + seconds},
		{`""`, "duration", `"" is not ` + seconds},
		{`ms`, "duration", `"ms" is not ` + seconds},
		{`true`, "duration", `true is not ` + seconds},
		{`[1]`, "duration", `an array is not ` + seconds},
		{`null`, "duration", `null is not ` + seconds},
		{`300 y`, "duration", `"300 y" is not ` + seconds},
		{`200000 days`, "duration", `"200000 days" is too long a duration`},
		{`1e999`, "duration", `1e999 is not ` + seconds},
		{`512K`, "bytes", "524288"},
		{`1kB`, "bytes", "1000"},
		{`1 MiB`, "bytes", "1048576"},
		{`1.5 G`, "bytes", "1610612736"},
		{`1024.5`, "bytes", "1024"},
		{`10 megabytes`, "bytes", "10000000"},
		{`7e`, "bytes", "8070450532247928832"},
		{`1KB`, "bytes", `"1KB" is not ` + bytes},
		{`-1`, "bytes", `-1 is a negative size`},
		{`1YB`, "bytes", `"1YB" does not fit 64 bits as a number of bytes`},
		{`""`, "bytes", `"" is not ` + bytes},
		{`007`, "text", "007"},
		{`1e3`, "text", "1e3"},
		{`true`, "text", "true"},
		{`{}`, "text", "an object is not a string"},
		{`yes`, "bool", "true"},
		{`"off"`, "bool", "false"},
		{`1`, "bool", "1 is not true or false"},
		{`TRUE`, "bool", `"TRUE" is not true or false`},
		{`"42"`, "int", "42"},
		{`1e3`, "int", "1000"},
		{`4.0`, "int", "4"},
		{`-9223372036854775808`, "int", "-9223372036854775808"},
		{`9223372036854775808`, "int", "9223372036854775808 does not fit 64 bits"},
		{`4.5`, "int", "4.5 is not a whole number"},
		{`x`, "int", `"x" is not a whole number`},
		{`1e400000000`, "int", "1e400000000 is not a whole number"},
		{`.5`, "float", "0.5"},
		{`1e400`, "float", "1e400 is too large a number"},
		{`x`, "float", `"x" is not a number`},
		{`{ 1 = b, 0 = a, x = c }`, "elements", "2"},
		{`[]`, "elements", "0"},
		{`{ x = c }`, "elements", "an object is not an array"},
		{`a`, "elements", `"a" is not an array`},
	}
	for _, test := range tests {
		v, _ := resolve(t, "v = "+test.text).Get("v")
		got := ""
		switch test.to {
		case "duration":
			got = conversion(v.Duration(time.Second))
		case "bytes":
			got = conversion(v.Bytes())
		case "text":
			got = conversion(v.Text())
		case "bool":
			got = conversion(v.Bool())
		case "int":
			got = conversion(v.Int())
		case "float":
			got = conversion(v.Float())
		case "elements":
			elements, err := v.Elements()
			got = conversion(len(elements), err)
		}
		if got != test.want {
			t.Errorf("%s of %s: got %s, want %s", test.to, test.text, got, test.want)
		}
	}
}

// A column counts characters, also on a line longer than what is counted at once.
func TestPositionsOnALongLine(t *testing.T) {
	for _, filler := range []string{"x", "é", "日", "😀"} {
		root := resolve(t, `a = "`+strings.Repeat(filler, 3000)+`", b = 1`+"\nc = 2")
		b, _ := root.Get("b")
		c, _ := root.Get("c")
		if b.Position().Column != 3013 || c.Position().String() != "overcast.conf:2:5" {
			t.Errorf("%s: b is at %s, c at %s", filler, b.Position(), c.Position())
		}
	}
}

// A Value may be a secret: nothing that prints it by accident shows it.
func TestPrintingAValueShowsItsTypeAndPositionOnly(t *testing.T) {
	root := resolve(t, "web {\n  password = bigsecret, bigsecret = 1\n}")
	web, _ := root.Get("web")
	password, _ := web.Get("password")
	if got := fmt.Sprintf("%v %s %+v", password, password, web); got != "string at overcast.conf:2:14 string at overcast.conf:2:14 object at overcast.conf:1:5" {
		t.Errorf("got %s", got)
	}
	var testify recorder
	assert.Equal(&testify, []*hocon.Value{root, web, password}, []*hocon.Value{})
	assert.ElementsMatch(&testify, []*hocon.Value{root, web, password}, []*hocon.Value{})
	assert.Equal(&testify, struct{ V *hocon.Value }{password}, struct{ V *hocon.Value }{})
	gomega := format.Object([]any{root, web, password}, 1)
	all := fmt.Sprintf("%#v %x %q %v", password, password, password, *password) + testify.text + gomega
	for _, secret := range []string{"bigsecret", "626967736563726574"} {
		if strings.Contains(all, secret) {
			t.Errorf("%s is in:\n%s", secret, all)
		}
	}
	if !strings.Contains(testify.text, "hocon.Value") || !strings.Contains(gomega, "hocon.Value") {
		t.Errorf("the values are not in:\n%s%s", testify.text, gomega)
	}
}

// A recorder keeps what assertions report.
type recorder struct{ text string }

func (r *recorder) Errorf(format string, args ...any) { r.text += fmt.Sprintf(format, args...) }

func TestPaths(t *testing.T) {
	root := resolve(t, "a {\n  \"b.c\" = [ x, { d = 1 } ]\n}\ne { 1 = y, 0 = z }\ns = ${a}")
	tests := []struct{ lookup, path, position string }{
		{`a."b.c"`, `a."b.c"`, "overcast.conf:2:11"},
		{`s."b.c"`, `s."b.c"`, "overcast.conf:2:11"},
		{`e.0`, `e.0`, "overcast.conf:4:16"},
	}
	for _, test := range tests {
		v, ok := root.Lookup(test.lookup)
		if !ok {
			t.Errorf("Lookup finds no %s", test.lookup)
			continue
		}
		if v.Path() != test.path || v.Position().String() != test.position {
			t.Errorf("%s: got %s at %s", test.lookup, v.Path(), v.Position())
		}
	}
	list, _ := root.Get("s", "b.c")
	d, _ := elementsOf(t, list)[1].Get("d")
	if d.Path() != `s."b.c"[1].d` || d.KeyPosition().String() != "overcast.conf:2:18" {
		t.Errorf("got %s, the key at %s", d.Path(), d.KeyPosition())
	}
	e, _ := root.Get("e")
	if first := elementsOf(t, e)[0]; first.Path() != "e.0" {
		t.Errorf("got %s", first.Path())
	}
	for _, nothing := range []string{"nowhere", "a.b", `a."b.c".x`, "a..b", "", "${a}", `"a`} {
		if v, ok := root.Lookup(nothing); ok {
			t.Errorf("%q is %v", nothing, v.Path())
		}
	}
	if keys := root.Keys(); strings.Join(keys, " ") != "a e s" || list.Keys() != nil {
		t.Errorf("got the keys %v and %v", keys, list.Keys())
	}
}

// elementsOf returns the elements of an array.
func elementsOf(t *testing.T, v *hocon.Value) []*hocon.Value {
	t.Helper()
	elements, err := v.Elements()
	if err != nil {
		t.Fatal(err)
	}
	return elements
}

func TestJSONKeepsOrderAndNumbers(t *testing.T) {
	got := printed(t, resolve(t, `z = 1.50, a = 1e3, m { y = -0, x = 007 }, z = 2, m.w = "<&>é"`))
	want := `{"z":2,"a":1e3,"m":{"y":-0,"x":7,"w":"\u003c\u0026\u003eé"}}`
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestWithFallback(t *testing.T) {
	parse := func(name, text string) *hocon.Document {
		doc, err := hocon.Parse(t.Context(), name, []byte(text), nil)
		if err != nil {
			t.Fatal(err)
		}
		return doc
	}
	upper := parse("upper.conf", `host { url = "x"${?user.name}, tags = ${?host.tags} [b], l = {b = 2} }, cleared = null, cleared { n = 1 }`)
	lower := parse("lower.conf", `host { tags = [a], timeout = ${default}, l = {a = 1} }, default = 30, cleared { o = 1 }`)
	properties := parse("system.properties", "list.0 = a\nuser.name = me\nuser = hidden")
	both := upper.WithFallback(lower)
	for range 2 { // resolving changes nothing
		root, err := properties.WithFallback(both).Resolve(t.Context(), &hocon.ResolveOptions{Env: noEnv})
		if err != nil {
			t.Fatal(err)
		}
		want := `{"host":{"tags":["a","b"],"timeout":30,"l":{"a":1,"b":2},"url":"xme"},"default":30,"cleared":{"n":1},"list":{"0":"a"},"user":{"name":"me"}}`
		if got := printed(t, root); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		name, _ := root.Lookup("user.name")
		if name.Position().String() != "system.properties:2:1" {
			t.Errorf("user.name is at %s", name.Position())
		}
	}
	alone, err := lower.Resolve(t.Context(), &hocon.ResolveOptions{Env: noEnv})
	if err != nil {
		t.Fatal(err)
	}
	if got := printed(t, alone); got != `{"host":{"tags":["a"],"timeout":30,"l":{"a":1}},"default":30,"cleared":{"o":1}}` {
		t.Errorf("the lower document changed: %s", got)
	}
}

func TestConcurrentResolve(t *testing.T) {
	doc, err := hocon.Parse(t.Context(), "generated.conf", generated(1<<14), nil)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			root, err := doc.WithFallback(doc).Resolve(t.Context(), &hocon.ResolveOptions{Env: noEnv})
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := json.Marshal(root); err != nil || root.Position().Line != 1 {
				t.Error(err, root.Position())
			}
		})
	}
	group.Wait()
}

func TestMissingIncludesAreListed(t *testing.T) {
	files := fstest.MapFS{
		"a.conf":     {Data: []byte("include \"b\"\nx { include \"sub/none.conf\" }")},
		"b.conf":     {Data: []byte("include file(\"missing\"), y = 1")},
		"lower.conf": {Data: []byte("include \"b\"")},
	}
	parse := func(name string) *hocon.Document {
		doc, err := hocon.ParseFile(t.Context(), name, &hocon.ParseOptions{FS: files})
		if err != nil {
			t.Fatal(err)
		}
		return doc
	}
	var got []string
	for _, missing := range parse("a.conf").WithFallback(parse("lower.conf")).MissingIncludes() {
		got = append(got, missing.Error())
	}
	inB := `b.conf:1:1: cannot include "missing": there is no missing.properties or missing.json or missing.conf`
	want := []string{inB, inB, `a.conf:2:5: cannot include "sub/none.conf": there is no sub/none.conf`}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestErrorTypes(t *testing.T) {
	files := fstest.MapFS{"a.conf": {Data: []byte("include \"b\"")}, "b.conf": {Data: []byte("\ninclude \"a\"")}, "dir.conf/x": {}}
	var (
		syntax     *hocon.SyntaxError
		include    *hocon.IncludeError
		unresolved *hocon.UnresolvedError
		cycle      *hocon.CycleError
		value      *hocon.ValueError
	)
	tests := []struct {
		text   string
		target any
		check  func() bool
	}{
		{"a = ]", &syntax, func() bool { return syntax.Found == "']'" && syntax.Expected == "a value" && syntax.Pos.Column == 5 }},
		{`include "a"`, &include, func() bool { return len(include.Chain) == 2 && include.Pos.String() == "b.conf:2:1" }},
		{`include "../a"`, &include, func() bool { return strings.Contains(include.Reason, "outside") }},
		{`include "dir"`, &include, func() bool { return include.Err != nil }},
		{"a = ${b.\"c.d\"}", &unresolved, func() bool { return unresolved.Substitution == `${b."c.d"}` }},
		{"a = ${b}\nb = ${?c} ${a}", &cycle, func() bool { return len(cycle.Chain) == 2 && cycle.Chain[1].Pos.Line == 2 }},
		{"a = ${b}[1]\nb = 1", &value, func() bool { return value.Pos.Column == 9 }},
	}
	for _, test := range tests {
		doc, err := hocon.Parse(t.Context(), "t.conf", []byte(test.text), &hocon.ParseOptions{FS: files})
		if err == nil {
			_, err = doc.Resolve(t.Context(), &hocon.ResolveOptions{Env: noEnv})
		}
		checkError(t, err)
		if !errors.As(err, test.target) || !test.check() {
			t.Errorf("%s: got %#v", test.text, err)
		}
	}
	if _, err := hocon.ParseFile(t.Context(), "nowhere.conf", nil); err == nil {
		t.Error("no error for a file that does not exist")
	}
}
