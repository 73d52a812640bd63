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

// chain is a0 = start, a1 = link of a0, ...; each link is made of the name of
// the one before.
func chain(n int, start, link string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "a0 = %s\n", start)
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, "a%d = %s\n", i, strings.ReplaceAll(link, "PREVIOUS", fmt.Sprintf("a%d", i-1)))
	}
	return b.String()
}

// Inputs of moderate size that would cost without limits more than there is.
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
		{"endless object", "a = { b = ${a} { b = { z = 1 } } }"},
		{"long way", "a0 = ${a1}\n" + func() string {
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
			doc, err := hocon.Parse("limits.conf", []byte(test.text), nil)
			if err == nil {
				_, err = doc.Resolve(&hocon.ResolveOptions{Env: noEnv})
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

// What is long, but not deep, is no matter.
func TestNoLimits(t *testing.T) {
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
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v, ok := resolve(t, test.text).Lookup(test.path)
			if !ok {
				t.Fatalf("there is no %s", test.path)
			}
			got := fmt.Sprintf("%d elements", len(v.Elements()))
			if v.Kind() != hocon.Array {
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
	_, err := hocon.ParseFile("f0.conf", &hocon.ParseOptions{FS: files})
	var limit *hocon.LimitError
	if !errors.As(err, &limit) {
		t.Errorf("got %v, want a LimitError", err)
	}
	_, err = hocon.Parse("size.conf", []byte("a = 12345"), &hocon.ParseOptions{Limits: hocon.Limits{Size: 8}})
	if !errors.As(err, &limit) || err.Error() != "size.conf:1:1: size of the configuration in bytes: more than the limit of 8" {
		t.Errorf("got %v, want a LimitError", err)
	}
}
