package hocon_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/overcast-go/overcast/hocon"
)

// conversion gives a converted value, or its error without the position.
func conversion[T any](value T, err error) string {
	if err != nil {
		_, message, _ := strings.Cut(err.Error(), ": v: ")
		return message
	}
	return fmt.Sprint(value)
}

func TestConversions(t *testing.T) {
	const seconds, bytes, days = "a number of seconds or a duration", "a number of bytes or a size", "a number of days or a period"
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
		{`7`, "period", "{0 0 7}"},
		{`" 2 weeks "`, "period", "{0 0 14}"},
		{`-3 mo`, "period", "{0 -3 0}"},
		{`8y`, "period", "{8 0 0}"},
		{`7.5`, "period", `7.5 is not ` + days},
		{`1000000000 w`, "period", `"1000000000 w" is too long a period`},
		{`007`, "string", "007"},
		{`1e3`, "string", "1e3"},
		{`true`, "string", "true"},
		{`{}`, "string", "an object is not a string"},
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
		{`{ 1 = b, 0 = a, x = c }`, "list", "2"},
		{`[]`, "list", "0"},
		{`{ x = c }`, "list", "an object is not an array"},
		{`a`, "list", `"a" is not an array`},
	}
	for _, test := range tests {
		v, _ := resolve(t, "v = "+test.text).Get("v")
		got := ""
		switch test.to {
		case "duration":
			got = conversion(v.Duration(time.Second))
		case "bytes":
			got = conversion(v.Bytes())
		case "period":
			got = conversion(v.Period())
		case "string":
			got = conversion(v.String())
		case "bool":
			got = conversion(v.Bool())
		case "int":
			got = conversion(v.Int())
		case "float":
			got = conversion(v.Float())
		case "list":
			elements, err := v.List()
			got = conversion(len(elements), err)
		}
		if got != test.want {
			t.Errorf("%s of %s: got %s, want %s", test.to, test.text, got, test.want)
		}
	}
}

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
			t.Errorf("there is no %s", test.lookup)
			continue
		}
		if v.Path() != test.path || v.Position().String() != test.position {
			t.Errorf("%s: got %s at %s", test.lookup, v.Path(), v.Position())
		}
	}
	list, _ := root.Get("s", "b.c")
	d, _ := list.Elements()[1].Get("d")
	if d.Path() != `s."b.c"[1].d` || d.KeyPosition().String() != "overcast.conf:2:18" {
		t.Errorf("got %s, the key at %s", d.Path(), d.KeyPosition())
	}
	if first, _ := root.Get("e"); first.Elements()[0].Path() != "e.0" {
		t.Errorf("got %s", first.Elements()[0].Path())
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

func TestJSONKeepsOrderAndNumbers(t *testing.T) {
	got := printed(t, resolve(t, `z = 1.50, a = 1e3, m { y = -0, x = 007 }, z = 2, m.w = "<&>é"`))
	want := `{"z":2,"a":1e3,"m":{"y":-0,"x":7,"w":"\u003c\u0026\u003eé"}}`
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestWithFallback(t *testing.T) {
	parse := func(name, text string) *hocon.Document {
		doc, err := hocon.Parse(name, []byte(text), nil)
		if err != nil {
			t.Fatal(err)
		}
		return doc
	}
	upper := parse("upper.conf", `host { url = "x"${?user.name}, tags = ${?host.tags} [b], l = {b = 2} }, cleared = null, cleared { n = 1 }`)
	lower := parse("lower.conf", `host { tags = [a], timeout = ${default}, l = {a = 1} }, default = 30, cleared { o = 1 }`)
	properties := hocon.FromMap("system properties", map[string]string{"user.name": "me", "user": "hidden", "list.0": "a"})
	both := upper.WithFallback(lower)
	for range 2 { // nothing changes by resolving
		root, err := properties.WithFallback(both).Resolve(&hocon.ResolveOptions{Env: noEnv})
		if err != nil {
			t.Fatal(err)
		}
		want := `{"host":{"tags":["a","b"],"timeout":30,"l":{"a":1,"b":2},"url":"xme"},"default":30,"cleared":{"n":1},"list":{"0":"a"},"user":{"name":"me"}}`
		if got := printed(t, root); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		name, _ := root.Lookup("user.name")
		if name.Position().String() != "system properties" {
			t.Errorf("user.name is at %s", name.Position())
		}
	}
	alone, err := lower.Resolve(&hocon.ResolveOptions{Env: noEnv})
	if err != nil {
		t.Fatal(err)
	}
	if got := printed(t, alone); got != `{"host":{"tags":["a"],"timeout":30,"l":{"a":1}},"default":30,"cleared":{"o":1}}` {
		t.Errorf("the lower document is now %s", got)
	}
}

// One document may be resolved by many at once.
func TestConcurrentResolve(t *testing.T) {
	doc, err := hocon.Parse("generated.conf", generated(1<<14), nil)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			root, err := doc.WithFallback(doc).Resolve(&hocon.ResolveOptions{Env: noEnv})
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
		doc, err := hocon.Parse("t.conf", []byte(test.text), &hocon.ParseOptions{FS: files})
		if err == nil {
			_, err = doc.Resolve(&hocon.ResolveOptions{Env: noEnv})
		}
		checkError(t, err)
		if !errors.As(err, test.target) || !test.check() {
			t.Errorf("%s: got %#v", test.text, err)
		}
	}
	if _, err := hocon.ParseFile("nowhere.conf", nil); err == nil {
		t.Error("a file that does not exist is read")
	}
}
