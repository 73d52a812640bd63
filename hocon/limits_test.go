package hocon_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/overcast-go/overcast/hocon"
)

// chain returns n+1 definitions: a0 = start, and ai = link with the name of the
// previous key for PREVIOUS.
func chain(n int, start, link string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "a0 = %s\n", start)
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, "a%d = %s\n", i, strings.ReplaceAll(link, "PREVIOUS", fmt.Sprintf("a%d", i-1)))
	}
	return b.String()
}

// Inputs of moderate size that without limits would take all memory or time.
func TestLimits(t *testing.T) {
	tests := []struct{ name, text string }{
		{"arrays in arrays", strings.Repeat("[", 1_000_000)},
		{"arrays in arrays, as a value", "a = " + strings.Repeat("[", 1_000_000)},
		{"objects in objects", strings.Repeat("a {", 1_000_000)},
		{"elements of a key", "a" + strings.Repeat(".a", 1_000_000) + " = 1"},
		{"elements of a substitution", "a = ${a" + strings.Repeat(".a", 1_000_000) + "}"},
		{"doubled strings", chain(60, "x", "${PREVIOUS}${PREVIOUS}")},
		{"doubled arrays", chain(70, "[x]", "${PREVIOUS} ${PREVIOUS}")},
		{"doubled elements", chain(60, "x", "[${PREVIOUS}, ${PREVIOUS}]")},
		{"doubled fields", chain(60, "x", "{ l = ${PREVIOUS}, r = ${PREVIOUS} }")},
		{"objects by substitution", chain(2_000, "x", "{ l = ${PREVIOUS} }")},
		{"infinite object", "a = { b = ${a} { b = { z = 1 } } }"},
		{"long chain", "a0 = ${a1}\n" + func() string {
			var b strings.Builder
			for i := 1; i < 100_000; i++ {
				fmt.Fprintf(&b, "a%d = ${a%d}\n", i, i+1)
			}
			return b.String() + "a100000 = 1"
		}()},
		{"layers on layers", chain(10_000, "{ x = 1 }", "${PREVIOUS} { x = ${PREVIOUS.x}y }")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			doc, err := hocon.Parse(t.Context(), "limits.conf", []byte(test.text), nil)
			if err == nil {
				_, err = doc.Resolve(t.Context(), &hocon.ResolveOptions{Env: noEnv})
			}
			runtime.ReadMemStats(&after)
			t.Logf("%d MB allocated: %.120s", (after.TotalAlloc-before.TotalAlloc)>>20, fmt.Sprint(err))
			checkError(t, err)
			var limit *hocon.LimitError
			var cycle *hocon.CycleError
			if !errors.As(err, &limit) && !errors.As(err, &cycle) {
				t.Errorf("got %v, want a LimitError", err)
			}
		})
	}
}

// manyWays returns n levels of two objects, s and t. Each has a key l with two
// definitions, which lead to one or both objects of the level below; and lookups
// through all levels.
func manyWays(n int, form string) string {
	var b strings.Builder
	b.WriteString("s0 { end = found }, t0 { start = x }\n")
	for i := 1; i <= n; i++ {
		level := strings.ReplaceAll(form, "BELOW", fmt.Sprint(i-1))
		b.WriteString(strings.ReplaceAll(level, "LEVEL", fmt.Sprint(i)) + "\n")
	}
	path := fmt.Sprintf("s%d%s", n, strings.Repeat(".l", n))
	fmt.Fprintf(&b, "x = ${%s.end}, none = [${?%s.q}]\n", path, path)
	return b.String()
}

// manyLookups returns n definitions of one key, and n lookups in it.
func manyLookups(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "o = ${?u} { a%[1]d = 1 }\nx%[1]d = ${o.a%[1]d}\n", i)
	}
	return b.String()
}

// Inputs that are long, but not deep, are below the limits.
func TestNoLimits(t *testing.T) {
	const (
		same    = "sLEVEL.l = ${sBELOW}\nsLEVEL.l = ${sBELOW}"
		crossed = "sLEVEL.l = ${sBELOW}\nsLEVEL.l = ${tBELOW}\ntLEVEL.l = ${tBELOW}\ntLEVEL.l = ${sBELOW}"
		merged  = "sLEVEL { l = ${sBELOW} ${tBELOW} }, tLEVEL { l = ${tBELOW} ${sBELOW} }"
	)
	tests := []struct{ name, text, path, want string }{
		{"appends", "l = []\n" + strings.Repeat("l += 1\n", 50_000) + "n = ${l}", "n", "50000 elements"},
		{"additions to a string", "p = x\n" + strings.Repeat("p = ${p}y\n", 50_000), "p", "50001 bytes"},
		{"substitutions in a row", chain(50_000, "1", "${PREVIOUS}"), "a50000", "1 bytes"},
		{"merges", "o = {}\n" + strings.Repeat("o = ${o} { x = 1 }\n", 50_000), "o.x", "1 bytes"},
		{"parts of a key", strings.Repeat("a ", 200_000) + "= 1\nb = x", "b", "1 bytes"},
		{"parts of a value", "a = " + strings.Repeat("x ", 200_000), "a", "399999 bytes"},
		{"definitions", strings.Repeat("a = { b = ${?c} }\n", 50_000) + "a.c = 1", "a.c", "1 bytes"},
		{"definitions by path", strings.Repeat("a.b.c.d = ${?c}\n", 50_000) + "a.c = 1", "a.c", "1 bytes"},
		{"comments", strings.Repeat("# x\n", 200_000) + "a = 1", "a", "1 bytes"},
		{"concatenated arrays", "a = " + strings.Repeat("[1]", 50_000), "a", "50000 elements"},
		{"doubled objects", chain(60, "{ x = 1 }", "${PREVIOUS} ${PREVIOUS}"), "a60.x", "1 bytes"},
		{"doubled empty arrays", chain(60, "[]", "${PREVIOUS} ${PREVIOUS}"), "a60", "0 elements"},
		{"a path with two ways on each level", manyWays(60, same), "x", "5 bytes"},
		{"an undefined path with two ways on each level", manyWays(60, same), "none", "0 elements"},
		{"a path with two ways on each level by two objects", manyWays(60, crossed), "x", "5 bytes"},
		{"a path with two ways on each level by merged objects", manyWays(60, merged), "none", "0 elements"},
		{"lookups in a key with many definitions", manyLookups(20_000), "x19999", "1 bytes"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v, ok := resolve(t, test.text).Lookup(test.path)
			if !ok {
				t.Fatalf("no value at %s", test.path)
			}
			got := ""
			if v.Kind() == hocon.Array {
				got = fmt.Sprintf("%d elements", len(elementsOf(t, v)))
			} else {
				got = fmt.Sprintf("%d bytes", len(printed(t, v)))
			}
			if got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestIncludeLimits(t *testing.T) {
	files := fstest.MapFS{}
	for i := range 60 {
		include := fmt.Sprintf("include \"f%d.conf\"\n", i+1)
		files[fmt.Sprintf("f%d.conf", i)] = &fstest.MapFile{Data: []byte(include + include)}
	}
	_, err := hocon.ParseFile(t.Context(), "f0.conf", &hocon.ParseOptions{FS: files})
	var limit *hocon.LimitError
	if !errors.As(err, &limit) {
		t.Errorf("got %v, want a LimitError", err)
	}
	_, err = hocon.Parse(t.Context(), "size.conf", []byte("a = 12345"), &hocon.ParseOptions{Limits: hocon.Limits{Size: 8}})
	if !errors.As(err, &limit) || err.Error() != "size.conf:1:1: size of the configuration in bytes: more than the limit of 8" {
		t.Errorf("got %v, want a LimitError", err)
	}
}
