package hocon_test

import (
	"fmt"
	"testing"
	"time"

	upstream "github.com/gurkankaymak/hocon"
)

// upstreamWrong are forms that version 1.2.23 of github.com/gurkankaymak/hocon
// reads differently from the specification, by which path has the value want.
var upstreamWrong = []struct{ name, text, path, want string }{
	{"quotes inside a concatenation", `h = /home/me` + "\n" + `a = "x="${h}"/y"`, "a", "x=/home/me/y"},
	{"object after a substitution", "t { b = 1 }\na = ${t} { c = 2 }", "a.c", "2"},
	{"unquoted address", `a = 10.0.0.1`, "a", "10.0.0.1"},
	{"escapes", `a = "x\ty"`, "a", "x\ty"},
	{"unicode escapes", `a = "\u00e9"`, "a", "é"},
	{"leading zeros", `a = 007 x`, "a", "007 x"},
	{"number as it was written", `a = 1e3 x`, "a", "1e3 x"},
	{"optional substitution and text", `a = ${?undefined}y`, "a", "y"},
	{"white space in a concatenation", `a = x   y`, "a", "x   y"},
	{"self-referential substitution", "a = x\na = ${a}y", "a", "xy"},
	{"quoted key with a dot", `a."b.c" = 1`, `a."b.c"`, "1"},
	{"list added to a list", "a = [1]\na = ${a} [2]", "a", "[1,2]"},
	{"key with a space", `a b = 1`, "a b", "1"},
	{"triple quotes", `a = """x"y"""`, "a", `x"y`},
	{"null in a concatenation", `a = null x`, "a", "null x"},
}

// TestUpstream compares the results of this package with those of
// github.com/gurkankaymak/hocon, and logs where that differs.
func TestUpstream(t *testing.T) {
	wrong := 0
	for _, form := range upstreamWrong {
		v, ok := resolve(t, form.text).Lookup(form.path)
		if !ok {
			t.Errorf("%s: no value at %s", form.name, form.path)
			continue
		}
		if got := printed(t, v); got != form.want {
			t.Errorf("%s: got %s, want %s", form.name, got, form.want)
		}
		if got := askUpstream(form.text, form.path); got != form.want {
			wrong++
			t.Logf("%-32s %q: upstream returns %q, want %q", form.name, form.text, got, form.want)
		}
	}
	t.Logf("upstream differs in %d of %d forms", wrong, len(upstreamWrong))
}

// askUpstream returns the result of upstream, which may panic or not return.
func askUpstream(text, path string) string {
	result := make(chan string, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				result <- fmt.Sprintf("panic: %v", r)
			}
		}()
		config, err := upstream.ParseString(text)
		if err != nil {
			result <- fmt.Sprintf("error: %v", err)
			return
		}
		result <- config.GetString(path)
	}()
	select {
	case r := <-result:
		return r
	case <-time.After(5 * time.Second):
		return "no result"
	}
}
