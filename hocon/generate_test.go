package hocon_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// A generator writes random documents with one result by the specification. Each
// key has a kind, and a definition refers to its own key, to keys of lower rank
// or to undefined keys, so that the result does not depend on the order in which
// fields are resolved. The same seed gives the same documents.
//
//	n0 n1 n2  scalars
//	s0 s1 s2  strings, concatenated
//	l0 l1 l2  arrays
//	o0        objects with x (a string), y (an array) and z (an object), which
//	          may refer to paths within themselves
//	o1 o2     the same, which may be merged with others by substitutions
type generator struct {
	*rand.Rand
	present map[string]bool // keys that are defined
	rank    int             // of the key that is being defined
	list    int             // number of arrays around the current place

	shuffled bool // the definitions are in random order
}

var ranked = []string{"n0", "n1", "n2", "s0", "s1", "s2", "l0", "l1", "l2", "o0", "o1", "o2"}

func newGenerator(seed uint64) *generator {
	return &generator{Rand: rand.New(rand.NewPCG(seed, 3))}
}

func (g *generator) one(choices ...string) string { return choices[g.IntN(len(choices))] }

// noInclude selects a document that others include.
const noInclude = "-"

// document returns a document, with an include statement in a random place
// unless include is "" or noInclude.
func (g *generator) document(include string) string {
	g.present = map[string]bool{}
	// A definition that refers to its own key may come first if shuffled. In an
	// included text the reference implementation then has varying results.
	g.shuffled = include != noInclude && g.IntN(2) == 0
	var statements []string
	for _, key := range ranked {
		if g.IntN(3) > 0 {
			g.present[key] = true
		}
	}
	for rank, key := range ranked {
		g.rank = rank
		if g.present[key] {
			statements = append(statements, g.define(key))
			for g.IntN(3) == 0 {
				statements = append(statements, g.redefine(key))
			}
		}
	}
	if include != "" && include != noInclude {
		statement := fmt.Sprintf("include %q", include)
		statements = append(statements, g.one(statement, statement, "o0 { "+statement+" }", "under { deep { "+statement+" } }"))
	}
	if g.shuffled {
		g.Shuffle(len(statements), func(i, j int) { statements[i], statements[j] = statements[j], statements[i] })
	}
	var b strings.Builder
	for _, statement := range statements {
		b.WriteString(g.one("", "", " ", "\n", "\u00a0 "))
		b.WriteString(statement)
		b.WriteString(g.one("\n", "\n", ",", " , ", "\n,\n", " # comment\n", "// comment\n", "\r\n"))
	}
	if g.IntN(6) == 0 {
		return "{" + b.String() + "}"
	}
	return b.String()
}

func (g *generator) separator() string {
	return g.one("=", " = ", ":", " : ", "=\n", " # why\n =")
}

func (g *generator) define(key string) string {
	if key[0] == 'o' && g.IntN(2) == 0 {
		return g.quoted(key) + g.one("", " ", "\n") + g.object(key, 0)
	}
	return g.quoted(key) + g.separator() + g.value(key)
}

// redefine defines a key again, or adds to its value.
func (g *generator) redefine(key string) string {
	mark := g.one("?", "")
	if g.shuffled {
		mark = "?" // it may come first
	}
	self := "${" + mark + key + "}"
	switch key[0] {
	case 's':
		return key + g.separator() + g.one(self+g.string(), g.string()+" "+self, self)
	case 'l':
		return g.one(key+" += "+g.element(), key+g.separator()+self+" "+g.array(), key+g.separator()+g.array()+self)
	case 'o':
		switch n := g.IntN(5); {
		case n == 0 && key == "o0":
			return key + ".y += " + g.element()
		case n == 1 && key == "o0":
			return key + ".x" + g.separator() + "${?" + key + ".x}" + g.string()
		case n == 2:
			return key + ".z.x" + g.separator() + g.string()
		case n >= 3 && key != "o0":
			return key + g.separator() + self + " " + g.object(key, 0)
		}
	}
	return g.define(key)
}

func (g *generator) quoted(key string) string {
	if g.IntN(8) == 0 {
		return `"` + key + `"`
	}
	return key
}

func (g *generator) value(key string) string {
	switch key[0] {
	case 'n':
		if ref := g.reference("n"); ref != "" && g.IntN(3) == 0 {
			return ref
		}
		return g.scalar()
	case 's':
		return g.string()
	case 'l':
		return g.lists()
	}
	return g.objects(key)
}

// reference returns a substitution for a defined key of one of these kinds and of
// lower rank, or "".
func (g *generator) reference(kinds string) string {
	var candidates []string
	for _, key := range ranked[:g.rank] {
		if g.present[key] && strings.Contains(kinds, key[:1]) {
			candidates = append(candidates, key)
		}
	}
	if candidates == nil {
		return ""
	}
	return "${" + g.one("", "?", "", " ") + g.one(candidates...) + "}"
}

func (g *generator) string() string {
	parts := make([]string, 1+g.IntN(4))
	for i := range parts {
		parts[i] = g.scalar()
		if ref := g.reference("ns"); ref != "" && g.IntN(2) == 0 {
			parts[i] = ref
		} else if i > 0 && g.IntN(10) == 0 {
			parts[i] = "${?nowhere}"
		}
	}
	return strings.Join(parts, g.one(" ", " ", "", "  ", "\t"))
}

func (g *generator) lists() string {
	parts := []string{g.array()}
	for g.IntN(2) == 0 {
		part := g.one(g.array(), "${?nowhere}", "${?nowhere.at.all}")
		if ref := g.reference("l"); ref != "" && g.IntN(2) == 0 {
			part = ref
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, g.one("", " ", "  "))
}

func (g *generator) array() string {
	g.list++
	defer func() { g.list-- }()
	var b strings.Builder
	b.WriteString(g.one("[", "[ ", "[\n"))
	n := g.IntN(4)
	for i := range n {
		b.WriteString(g.element())
		if i < n-1 {
			b.WriteString(g.one("\n", ",", ", ", " ,\n", " # comment\n"))
		}
	}
	b.WriteString(g.one("", " ", "\n") + "]")
	return b.String()
}

func (g *generator) element() string {
	ref := g.reference("nslo")
	switch n := g.IntN(8); {
	case n == 0 && g.list < 3:
		return g.array()
	case n == 1 && g.list < 3:
		return "{ x = " + g.string() + " }"
	case n < 4 && ref != "":
		return ref
	case n == 4:
		return "${?nowhere}"
	}
	return g.string()
}

func (g *generator) objects(key string) string {
	parts := []string{g.object(key, 0)}
	for g.IntN(3) == 0 && key != "o0" {
		part := g.object(key, 0)
		if ref := g.reference("o"); ref != "" && g.IntN(2) == 0 {
			part = ref
		}
		parts = append(parts, part)
	}
	if ref := g.reference("o"); ref != "" && key != "o0" && g.IntN(3) == 0 {
		parts = append([]string{ref}, parts...)
	}
	return strings.Join(parts, g.one("", " ", "  "))
}

func (g *generator) object(key string, depth int) string {
	var fields []string
	if g.IntN(2) == 0 {
		fields = append(fields, "x"+g.separator()+g.string())
	}
	if g.IntN(3) == 0 {
		fields = append(fields, "y"+g.separator()+g.lists())
	}
	if g.IntN(3) == 0 && depth == 0 && key == "o0" {
		fields = append(fields, "w"+g.separator()+"${?"+key+".x}"+g.string())
	}
	if g.IntN(3) == 0 && depth < 2 {
		fields = append(fields, "z"+g.one("", " ", "=", " : ")+g.object(key, depth+1))
	}
	if g.IntN(5) == 0 {
		fields = append(fields, g.one(`0`, `1`, `"a.b"`, `""`, `a b`, `1.5`, `true`, `é`, `-`, `" "`, `"\n"`)+g.separator()+g.scalar())
	}
	if len(fields) == 0 {
		return g.one("{}", "{ }", "{\n}")
	}
	separator := g.one(", ", "\n", ",\n")
	return g.one("{", "{ ", "{\n") + strings.Join(fields, separator) + g.one("", ",", "\n", " ") + "}"
}

func (g *generator) scalar() string {
	if g.IntN(3) > 0 {
		return g.one("1", "2", "x", "y", `"s"`, "true", "foo bar", "null", "3.5", `""`)
	}
	return g.one(
		"1e3", "1E3", "-0", "-", "007", "08.5", "1.", ".5", "-.5", "1.2.3", "10.0.0.1", "1e", "1-2", "12ab", "-x", "--", "1e+3", "5e-1",
		"truefoo", "true false", "nullx", "on", "a/b", "/usr/bin", "a-b_c.d", "(x)", "a'b", "~", "<a>", "a|b;c", "%d", "é", "日本",
		`"a\nb"`, `"\u00e9"`, `" "`, `"a b"`, `"x"y`, `"\/"`, `"\\"`, `"a\"b"`, `"""raw"""`, `"""a"b""""`, `""" " """`, `"a:b=c"`, `"#"`, `"//"`,
		"99999999999", "a\u00a0b", "1\t2", "include", "x.y.z", "1 2", "null null", "0.10", "1.0", "100000000000000000000.5",
		"\"\"\"two\nlines\"\"\"", `"\ud83d\ude00"`, "http", `"${n0}"`, "a.b.c", "1.x", "2024-01-01",
	)
}
