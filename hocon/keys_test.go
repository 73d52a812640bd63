package hocon_test

import (
	"fmt"
	"testing"

	"github.com/overcast-go/overcast/hocon"
)

// Objects with many keys have an index: all keys must be found in it.
func TestManyKeys(t *testing.T) {
	lower := ""
	for i := range 1000 {
		lower += fmt.Sprintf("key.k%d = %d\nhost%d = x\n", i, i, i)
	}
	text := "all = ${key} { extra = 1, k5 = null }\n"
	for i := range 1000 {
		text += fmt.Sprintf("r%d = ${?key.k%d}${?nowhere}, u%d = ${?nowhere}\n", i, i, i)
	}
	doc, err := hocon.Parse(t.Context(), "many.conf", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := hocon.Parse(t.Context(), "keys.properties", []byte(lower), nil)
	if err != nil {
		t.Fatal(err)
	}
	root, err := keys.WithFallback(doc).Resolve(t.Context(), &hocon.ResolveOptions{Env: noEnv})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(root.Keys()); n != 1+1000+1+1000 {
		t.Errorf("got %d keys", n)
	}
	for i := range 1000 {
		for _, path := range []string{"r%d", "key.k%d", "all.k%d"} {
			v, ok := root.Lookup(fmt.Sprintf(path, i))
			if !ok {
				t.Fatalf(path+" is missing", i)
			}
			if text, err := v.Text(); text != fmt.Sprint(i) && path+fmt.Sprint(i) != "all.k%d5" {
				t.Fatalf(path+" is %q, %v", i, text, err)
			}
		}
		if _, ok := root.Lookup(fmt.Sprintf("u%d", i)); ok {
			t.Fatalf("u%d has a value", i)
		}
	}
}
