package hocon_test

import (
	"fmt"
	"testing"
	"time"

	upstream "github.com/gurkankaymak/hocon"
)

// upstreamWrong are forms that github.com/gurkankaymak/hocon, the library one
// would otherwise use, gets wrong: at path it must give want.
var upstreamWrong = []struct{ name, text, path, want string }{
	{"quotes inside a concatenation", `h = /home/me` + "\n" + `a = "x="${h}"/y"`, "a", "x=/home/me/y"},
	{"object after a substitution", "t { b = 1 }\na = ${t} { c = 2 }", "a.c", "2"},
	{"unquoted address", `a = 10.0.0.1`, "a", "10.0.0.1"},
	{"escapes", `a = "x\ty"`, "a", "x\ty"},
	{"unicode escapes", `a = "\u00e9"`, "a", "é"},
	{"leading zeros", `a = 007 x`, "a", "007 x"},
	{"number as it was written", `a = 1e3 x`, "a", "1e3 x"},
	{"optional substitution and text", `a = ${?nowhere}y`, "a", "y"},
	{"white space in a concatenation", `a = x   y`, "a", "x   y"},
	{"looking back", "a = x\na = ${a}y", "a", "xy"},
	{"quoted key with a dot", `a."b.c" = 1`, `a."b.c"`, "1"},
	{"list added to a list", "a = [1]\na = ${a} [2]", "a", "[1,2]"},
	{"key with a space", `a b = 1`, "a b", "1"},
	{"triple quotes", `a = """x"y"""`, "a", `x"y`},
	{"null in a concatenation", `a = null x`, "a", "null x"},
}

// TestUpstream fails on the day when upstream is right on all: then it can
// take the place of this package.
func TestUpstream(t *testing.T) {
	wrong := 0
	for _, form := range upstreamWrong {
		our := resolve(t, form.text)
		v, ok := our.Lookup(form.path)
		if !ok {
			t.Errorf("%s: we have no %s", form.name, form.path)
			continue
		}
		if got := printed(t, v); got != form.want {
			t.Errorf("%s: we say %s, want %s", form.name, got, form.want)
		}
		got := askUpstream(form.text, form.path)
		if got != form.want {
			wrong++
			t.Logf("%-32s %q is %q to upstream, not %q", form.name, form.text, got, form.want)
			continue
		}
		t.Logf("%-32s upstream is right", form.name)
	}
	t.Logf("upstream is wrong on %d of %d", wrong, len(upstreamWrong))
	if wrong == 0 {
		t.Error("upstream is right on all: see whether github.com/gurkankaymak/hocon can replace this package")
	}
}

// askUpstream asks with a guard: upstream panics on some input, and on other
// does not come back.
func askUpstream(text, path string) string {
	answer := make(chan string, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				answer <- fmt.Sprintf("panic: %v", r)
			}
		}()
		config, err := upstream.ParseString(text)
		if err != nil {
			answer <- fmt.Sprintf("error: %v", err)
			return
		}
		answer <- config.GetString(path)
	}()
	select {
	case a := <-answer:
		return a
	case <-time.After(5 * time.Second):
		return "no answer"
	}
}
