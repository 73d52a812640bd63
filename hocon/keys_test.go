package hocon_test

import (
	"fmt"
	"testing"

	"github.com/overcast-go/overcast/hocon"
)

// A text of many includes and many keys: what finds things by number or by
// hash must find all of them.
func TestManyKeys(t *testing.T) {
	m := map[string]string{}
	for i := range 1000 {
		m[fmt.Sprintf("key.k%d", i)] = fmt.Sprint(i)
		m[fmt.Sprintf("host%d", i)] = "x"
	}
	text := "all = ${key} { extra = 1, k5 = null }\n"
	for i := range 1000 {
		text += fmt.Sprintf("r%d = ${?key.k%d}${?nowhere}, u%d = ${?nowhere}\n", i, i, i)
	}
	doc, err := hocon.Parse("many.conf", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	root, err := hocon.FromMap("m", m).WithFallback(doc).Resolve(&hocon.ResolveOptions{Env: noEnv})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(root.Keys()); n != 1+1000+1+1000 {
		t.Errorf("there are %d keys", n)
	}
	for i := range 1000 {
		for _, path := range []string{"r%d", "key.k%d", "all.k%d"} {
			v, ok := root.Lookup(fmt.Sprintf(path, i))
			if !ok {
				t.Fatalf(path+" is missing", i)
			}
			if text, err := v.String(); text != fmt.Sprint(i) && path+fmt.Sprint(i) != "all.k%d5" {
				t.Fatalf(path+" is %q, %v", i, text, err)
			}
		}
		if _, ok := root.Lookup(fmt.Sprintf("u%d", i)); ok {
			t.Fatalf("u%d is there", i)
		}
	}
}
