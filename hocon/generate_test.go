package hocon_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// A generator writes random documents that look like HOCON, most of them
// valid. The same seed gives the same documents everywhere.
type generator struct {
	*rand.Rand
	b     strings.Builder
	depth int
}

func newGenerator(seed uint64) *generator {
	return &generator{Rand: rand.New(rand.NewPCG(seed, 3))}
}

func (g *generator) one(choices ...string) string { return choices[g.IntN(len(choices))] }

// document writes one document of few keys, so that they meet.
func (g *generator) document() string {
	g.b.Reset()
	g.depth = 0
	braces := g.IntN(8) == 0
	if braces {
		g.b.WriteString("{")
	}
	g.fields()
	if braces {
		g.b.WriteString("}")
	}
	return g.b.String()
}

func (g *generator) fields() {
	for n := 1 + g.IntN(5); n > 0; n-- {
		g.b.WriteString(g.one("", "", "", " ", "\n", "  "))
		g.field()
		g.b.WriteString(g.one("\n", "\n", "\n", ",", " , ", "\n,\n", " # comment\n", "// comment\n", "\r\n"))
	}
}

func (g *generator) field() {
	g.b.WriteString(g.path(true))
	if g.depth < 3 && g.IntN(5) == 0 {
		g.b.WriteString(g.one("", " ", "\n"))
		g.object()
		return
	}
	g.b.WriteString(g.one("=", " = ", ":", " : ", "=\n", " += "))
	g.value()
}

func (g *generator) path(key bool) string {
	elements := make([]string, 1+g.IntN(2)*g.IntN(3))
	for i := range elements {
		elements[i] = g.one("a", "a", "b", "b", "c", "d", "e", `"a"`, "0", "1")
		if g.IntN(25) == 0 {
			elements[i] = g.one(`"x.y"`, `""`, "a b", "-", "1e5", "true", "null", "a-b", "é", `"a"b`, "00", "1.5", ` a `, `"\u0041"`)
		}
	}
	path := strings.Join(elements, g.one(".", ".", ".", " . "))
	if !key {
		path = strings.TrimSpace(path)
	}
	return path
}

func (g *generator) value() {
	switch n := g.IntN(20); {
	case n < 6:
		g.b.WriteString(g.scalar())
	case n < 10:
		g.substitution()
	case n < 12:
		g.array()
	case n < 14 && g.depth < 3:
		g.object()
	default:
		g.concatenation()
		return
	}
	g.tail()
}

// tail sometimes goes on with another value of a fitting kind.
func (g *generator) tail() {
	if g.IntN(10) == 0 {
		g.b.WriteString(g.one("", " "))
		g.substitution()
	}
}

func (g *generator) concatenation() {
	kind := g.IntN(4)
	for i, n := 0, 2+g.IntN(3); i < n; i++ {
		if i > 0 {
			g.b.WriteString(g.one("", " ", " ", "  ", "\t"))
		}
		switch {
		case g.IntN(3) == 0:
			g.substitution()
		case kind == 0 && g.depth < 3:
			g.object()
		case kind == 1:
			g.array()
		default:
			g.b.WriteString(g.scalar())
		}
	}
}

func (g *generator) substitution() {
	fmt.Fprintf(&g.b, "${%s%s}", g.one("?", "?", ""), g.path(false))
}

func (g *generator) array() {
	if g.depth >= 3 {
		g.b.WriteString("[]")
		return
	}
	g.depth++
	g.b.WriteString("[")
	for n := g.IntN(4); n > 0; n-- {
		g.b.WriteString(g.one("", " "))
		g.value()
		g.b.WriteString(g.one("\n", ",", ", ", " ,\n"))
	}
	g.b.WriteString("]")
	g.depth--
}

func (g *generator) object() {
	g.depth++
	g.b.WriteString(g.one("{", "{ ", "{\n"))
	if g.IntN(6) > 0 {
		g.fields()
	}
	g.b.WriteString("}")
	g.depth--
}

func (g *generator) scalar() string {
	if g.IntN(3) > 0 {
		return g.one("1", "2", "x", "y", `"s"`, "true", "foo bar", "null", "3.5", `""`)
	}
	return g.one(
		"1e3", "1E3", "-0", "-", "007", "08.5", "1.", ".5", "-.5", "1.2.3", "10.0.0.1", "1e", "1-2", "12ab", "-x", "--", "1e+3", "5e-1",
		"truefoo", "true false", "nullx", "on", "a/b", "/usr/bin", "a-b_c.d", "(x)", "a'b", "~", "<a>", "a|b;c", "%d", "é", "日本",
		`"a\nb"`, `"\u00e9"`, `" "`, `"a b"`, `"x"y`, `"\/"`, `"\\"`, `"a\"b"`, `"""raw"""`, `"""a"b""""`, `""" " """`, `"a:b=c"`, `"#"`, `"//"`,
		"99999999999", "9223372036854775807", "a\u00a0b", "1\t2", "include", "x.y.z", "1 2", "null null", "0.10", "1.0", "100000000000000000000.5",
	)
}
