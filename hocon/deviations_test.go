package hocon_test

import (
	"strings"
	"testing"
)

// deviations are inputs for which the reference implementation, version 1.3.1,
// has another result than the specification, which this package follows.
var deviations = []struct {
	name, text string
	want       string // the result of this package, "" for an error
	reason     string // what the reference does; and what the specification says, in quotes
}{
	{"text after an object", `a = { b = 1 } x`, ``,
		`it drops unquoted text after an object or a list; "it is invalid for arrays or objects to appear in a string value concatenation"`},
	{"text after a substituted list", "l = [1], t = x\na = ${l} ${t}", ``,
		"the same"},
	{"integer of more than 64 bits", `a = 99999999999999999999`, `{"a":99999999999999999999}`,
		`it turns it into a string; "all valid JSON should be valid and should result in the same in-memory data"`},
	{"plus and equals after a number", `1+=x`, `{"1":["x"]}`,
		`it reads the plus sign as part of the number; "fields may have += as a separator"`},
	{"concatenation without separator", "b = {c = 2}\na { d = 1 } ${b}", `{"b":{"c":2},"a":{"d":1,"c":2}}`,
		`it requires = before a concatenation; "if a key is followed by {, the : or = may be omitted"`},
	{"white space before a substituted list", "l = [1]\na = ${?nowhere} ${l}", `{"l":[1],"a":[1]}`,
		`it sees a string; "unquoted whitespace must be ignored in between substitutions which resolve to objects or lists"`},
	{"hidden by a value with a substitution", "t = y\na = ${nowhere}\na = ${t}", `{"t":"y","a":"y"}`,
		`it evaluates the hidden value; "if a substitution is hidden by a value that could not be merged with it then it is never evaluated"`},
	{"hidden by a list with a substitution", "t = y\na = [${nowhere}]\na = [${t}]", `{"t":"y","a":["y"]}`,
		"the same"},
	{"path into the object that is being merged", "b = {}\na = ${b} { x = 1, y = ${a.x} }", `{"b":{},"a":{"x":1,"y":1}}`,
		`it sees a cycle; "implementations must be careful to allow objects to refer to paths within themselves"`},
	{"looking back into a merged object", "b = { x = 1 }\na = ${b} { x = ${a.x}2 }", `{"b":{"x":1},"a":{"x":"12"}}`,
		`it sees a cycle; "the implementation must look back in the merge stack to try to resolve the cycle"`},
	{"required include", `include required("nowhere.conf")`, ``,
		"required() is new in 1.3.2, and a syntax error in 1.3.1"},
	{"list of environment variables", `a = ${?NOWHERE[]}`, `{}`,
		"the suffix [] is new in a later version"},
	{"byte order mark inside", "a = 1\uFEFF", `{"a":1}`, ``},
}

// TestDeviations checks the results of this package and, if it is installed,
// that those of the reference implementation differ unless there is no reason.
func TestDeviations(t *testing.T) {
	r := startReference(t)
	for _, d := range deviations {
		t.Run(d.name, func(t *testing.T) {
			our := oursOfText(t, d.text)
			if (d.want == "") != (our.err != "") || d.want != "" && differ("", decodeJSON(t, []byte(our.json)), decodeJSON(t, []byte(d.want))) != "" {
				t.Errorf("%s: got %+v, want %q", d.text, our, d.want)
			}
			if r == nil {
				return
			}
			their := r.ask(t, d.text)
			how := disagree(t, our, their)
			if (how == "") != (d.reason == "" || strings.HasPrefix(d.reason, "required()")) {
				t.Errorf("%s: hocon returns %+v, the reference %+v", d.text, our, their)
			}
		})
	}
}

// forms are documents with unusual syntax or substitutions, for which the
// reference implementation has the same result.
var forms = []string{
	`a=[1], a=[${a}]`, `a={x=1}, a={b=${a}}`, `a={x=1}, a={b=${?a}}`, `a=[1], a=[${?a}]`, `a=x, a=[${?a}]`, `a=1,a={b=${a}}`,
	`a += 1, a = ${a} [2], a += 3`, `a={b={c=1}}, a.b=${a.b}{d=2}, a.b.e=3`, `a=${x}, a=${a.y}, x={y={z=1}}`,
	`foo : { a : { c : 1 } }, foo : ${foo.a}, foo : { a : 2 }`, `bar : { foo : 42, baz : ${bar.foo} }, bar.foo=43`,
	`bar : { a : ${foo.d}, b : 1 }, bar.b = 3, foo : { c : ${bar.b}, d : 2 }, foo.d = 4`,
	`a=1,a=${?n},a=${a}x`, `a=x, a=${a}${a}, a=${a}${a}`, `a={n=1}, b=${a}, b.n=2, a.m=3`, `a.b=${a.c}, a.c=${a.d}, a.d=1`,
	`a=[1] ${b} ${?n} ${c}, b=[2], c=[3]`, `a=${b} ${c}, b={x=1}, c={x=2}`, `a=${b}  x  ${c}, b=1,c=2`, `a = "x" ${?n} "y"`,
	`a=${?n}${?m}`, `a=[${?n}${?m}]`, `a=[${?n} ${?m}]`, `a=${?n} x`, `a=${?n} [1]`, `a=${?n}5`, `a=5${?n}`, `a=${b}${?n}, b=5`,
	`a=null, b=${?a}, c=${a}, d=x${a}`, `a.b=1,a=2,a.c=3`, `a={} {b=1} {c=2} ${n}, n={d=1}`, `a={0=x} [y]`, `a=[y] {0=x}`,
	`a=["a"] ${b}, b={1=x,0=y,z=q}`, `a=[1] ${b}, b={x=1}`, `a=[1]{}`, `a=truefalse`, `a=true.b`, `true.b=1`, `a=1.5.x, 1.5.x=2`, `a="x"y"z"`,
	`a = http://x`, `a=1,,b=2`, `,a=1`, `{a=1},`, `{a=1}b=2`, `[1,2,3,]`, `a=[1,2,3,]`, `a=[1,,2]`, `a=[,1]`, `a=[1,2,3,,]`, "a=[1\n2\n3]",
	`a=${b.c}, b=1`, `a=${b.c}, b=null`, `a=${?b.c}, b=[1]`, `a={x=1},a=null,a={y=2}`, `a={x=1},a=${n},a={y=2},n=null`,
	`a = ${b}, b=${a}`, `a=${b},b=${c},c=${a}`, `a=${x.y}, x={y=${a}}`, `a=${a}`, `a=${?a}`, `a=${?a}x`, `a={c=3},a=${b},b=${a.c}`,
	`a."b.c".d=1`, `a=\u0041`, `a="\u0041"`, `""=1,b=${""}`, `a=.5`, `a=5.`, `a=-`, `a=+1`, `a=0x10`, `a=01`, `a=1_000`, `a=1e+33.5`, `a=1e+x`,
	`a=[1 2 3]`, `a=[[1][2]]`, `a=[{}{}]`, `a=[{},{}]`, `a.b`, `a`, `{`, `}`, `a=}`, `a=`, `=1`, `a={b=[}`, `"a`, `a="""`, `a="""x""""`, `a=""""""`,
	"a\n=\n1", "a # c\n # d\n = # e\n 1", "a\n{\n}", "a b\n c=1", "a=1 // b=2\nc=3", `a=b#c`, `a=b//c`, `a=b/c`, `a=b /c`, `a = b?c`, `a=b*c`, `a=b&c`, `a=b\c`,
	`a=b^c`, `a=b!c`, `a=b@c`, "a=b`c", `a=b+c`, `a=b$c`, `a="$b"`, `a="${b}"`, `${a}=1`, `a=${ b }, b=1`, `a=${ ?b }`, `a=${b c}, b c=1`, `a=${}`, `a=${"b"c}, bc=1`,
	`a..b=1`, `.a=1`, `a.=1`, `a."".b=1`, `a . b=1`, `a=${b.}`, `include=1`, `include a`, `include.a=1`, `"include"=1`, `a=include`, `a.include=1`, `includes=1`,
	`include "nowhere"`, `include file("nowhere.conf")`, `include "nowhere" "x"`, `include ("x")`, `a=[{b+=1}]`, `a=[1] 3, a=5`, `a=1 [2]`, `a="x"{}`,
	`a=${b}{c=1}, b=5`, `a=${?b} {c=1}`, `a={x=1}, a=${b}, b=3, a={y=2}`, `b={a+=1},b.a+=2`, `a=1, a+=2`, `a={}, a+=2`, `a={0=x}, a+=y`,
	"\uFEFFa=1", "a=1\u00a0\u00a02", "a=1\u2003\n\u2028b=2", "a=\x1f1", "a=\"x\ty\"", "a='x'", `a="\x"`, `a="\u12"`, `a="\ud83d\ude00"`, "a=\"\"\"\\n\"\"\"",
	`a=1e3 x`, `a=007 x`, `a=1.0 x`, `a=true x`, `a=null x`, `a=x null`, `a=1, b=${a}, a=2`, `a=${b}, b=[${c}], c={d=${e}}, e=1`,
	`b=[{x=1}], a=${b}[{y=2}]`, `a={b=${c}}, c=${d}, d={e=1}, a.b.f=2`, `p=${n}":x", n=/bin, p=${p}":y", p=${?p}":z"`,
}

func TestForms(t *testing.T) {
	r := needReference(t)
	for _, form := range forms {
		our := oursOfText(t, form)
		if how := disagree(t, our, r.ask(t, form)); how != "" {
			t.Errorf("%s\n%s", form, how)
		}
	}
}
