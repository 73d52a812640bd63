package hocon_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/overcast-go/overcast/hocon"
)

// fuzzLimits are small, so that inputs reach them quickly.
var fuzzLimits = hocon.Limits{Depth: 50, Size: 1 << 16, Includes: 20, Values: 10_000, Chain: 200}

// fuzzFiles are the files that fuzzed documents can include.
var fuzzFiles = fstest.MapFS{
	"a.conf":       {Data: []byte("x = ${?y}, y = [1], z += ${?x}\ninclude \"b\"")},
	"b.properties": {Data: []byte("p.q = 1\np = 2\nr\\u0041: \\\n  s")},
	"b.json":       {Data: []byte(`{"j": [null, {"k": 1e3}]}`)},
	"circle.conf":  {Data: []byte("n { include \"circle.conf\" }")},
	"list.conf":    {Data: []byte("[1]")},
}

func addSeeds(f *testing.F) {
	for _, seed := range []string{
		"", "a = 1", "{}", "[1]", "a : b c // d\n", "a.b { c += 1, c += ${?a.b.c} }", "a = ${b}${c} [1] ${?d}", "a = ${a}", "a = ${?a}x",
		"a = { b = ${a} }", "a = { b = ${?a} }", "a = ${b}, b = ${a}", "include \"a\"", "x { include required(file(\"a.conf\")) }",
		"include \"circle\"", "include \"list\"", "a = [ { include \"a\" } ]", "a = \"\\ud83d\\ude00\\n\"", "a = \"\"\"x\"\"\"\"", "\uFEFFa = 1",
		"a = ${X[]} [2]", "a = {0 = x} [y]", "a.\"\".b = 007", "a = 1e+3 -0 .5 1.", "a = [1,,2]", "a = ${b}{c=1}, b = ${?a}{d=2}",
		"a0 = x, a1 = ${a0}${a0}, a2 = ${a1}${a1}, a3 = ${a2}${a2}", "a = [[[[[[]]]]]]", "a = ${b.c}, b = {c = ${b.d}, d = ${?a}}",
		"a = \"\\u12\"", "a = \"x\ny\"", "a = `", "a = $", "a = ${", "a = ${?", "a = ${b", "a..b = 1", "a = \xff",
		"foo : { a : { c : 1 } }, foo : ${foo.a}, foo : { a : 2 }", "a = {x = 1}, a = ${a} {y = ${a.x}}", "b = ${a}, a = ${?a}foo",
		"a += 1, a += 2, a += ${a}", "a = ${b} ${b}, b = {c = ${?a.d}, d = 1}", "a { b = ${a.c} }, a { c = ${?a.b} }",
	} {
		f.Add(seed)
	}
	g := newGenerator(7)
	for range 50 {
		f.Add(g.document(g.one("", "a", "b")))
	}
}

// FuzzParse checks that every input is a document or an error with a position.
func FuzzParse(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, text string) {
		for _, name := range []string{"f.conf", "f.json", "f.properties"} {
			_, err := hocon.Parse(t.Context(), name, []byte(text), &hocon.ParseOptions{FS: fuzzFiles, Limits: fuzzLimits})
			checkError(t, err)
		}
	})
}

// FuzzResolve checks that a resolved document, printed as JSON and parsed again,
// stays the same.
func FuzzResolve(f *testing.F) {
	addSeeds(f)
	env := func(name string) (string, bool) {
		return "value of " + name, strings.HasPrefix(name, "X") && !strings.HasSuffix(name, "3")
	}
	f.Fuzz(func(t *testing.T, text string) {
		doc, err := hocon.Parse(t.Context(), "f.conf", []byte(text), &hocon.ParseOptions{FS: fuzzFiles, Limits: fuzzLimits})
		if err != nil {
			return
		}
		root, err := doc.Resolve(t.Context(), &hocon.ResolveOptions{Env: env})
		checkError(t, err)
		if err != nil {
			return
		}
		printed, err := json.Marshal(root)
		if err != nil {
			t.Fatal(err)
		}
		checkAgain(t, printed)
		twice, err := doc.WithFallback(doc).Resolve(t.Context(), &hocon.ResolveOptions{Env: env})
		checkError(t, err)
		if err == nil && twice.Kind() != hocon.Object {
			t.Fatal("a document merged onto itself is not an object")
		}
		walk(t, root)
	})
}

func checkError(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	var at hocon.Error
	if !errors.As(err, &at) {
		t.Fatalf("%T does not implement hocon.Error: %v", err, err)
	}
	pos := at.Position()
	if pos.File == "" || pos.Line < 1 || pos.Column < 1 || !strings.HasPrefix(err.Error(), pos.String()+": ") {
		t.Fatalf("%T at %+v: %v", err, pos, err)
	}
}

// checkAgain parses printed JSON as HOCON and as JSON.
func checkAgain(t *testing.T, printed []byte) {
	limits := hocon.Limits{Size: 1 << 30, Depth: 100}
	for _, name := range []string{"printed.json", "printed.conf"} {
		doc, err := hocon.Parse(t.Context(), name, printed, &hocon.ParseOptions{Limits: limits})
		if err != nil {
			t.Fatalf("%v\n%s", err, printed)
		}
		root, err := doc.Resolve(t.Context(), &hocon.ResolveOptions{Env: noEnv})
		if err != nil {
			t.Fatalf("%v\n%s", err, printed)
		}
		again, err := json.Marshal(root)
		if err != nil {
			t.Fatal(err)
		}
		if string(again) != string(printed) {
			t.Fatalf("printed:\n%s\nparsed and printed again:\n%s", printed, again)
		}
	}
}

// walk calls all methods of all values.
func walk(t *testing.T, v *hocon.Value) {
	if pos := v.Position(); pos.File == "" || pos.Line < 1 {
		t.Fatalf("%s has no position", v.Path())
	}
	for _, convert := range []func() error{
		func() error { _, err := v.Text(); return err }, func() error { _, err := v.Bool(); return err },
		func() error { _, err := v.Int(); return err }, func() error { _, err := v.Float(); return err },
		func() error { _, err := v.Duration(1); return err }, func() error { _, err := v.Bytes(); return err },
		func() error { _, err := v.Elements(); return err },
	} {
		checkError(t, convert())
	}
	for _, key := range v.Keys() {
		element, ok := v.Get(key)
		if !ok {
			t.Fatalf("%s has no key %q", v.Path(), key)
		}
		walk(t, element)
	}
	if v.Kind() == hocon.Array {
		for _, element := range elementsOf(t, v) {
			walk(t, element)
		}
	}
}
