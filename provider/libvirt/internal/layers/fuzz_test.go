package layers

import (
	"testing"

	"github.com/overcast-go/overcast/provider/libvirt/internal/owner"
)

func FuzzParseMetadata(f *testing.F) {
	f.Add(`<layer xmlns="` + owner.LayerNamespace + `" version="1" name="a"/>`)
	f.Fuzz(func(t *testing.T, inner string) {
		if m := parseMetadata("a", inner); m != nil && m.Name != "a" {
			t.Errorf("metadata of %q", m.Name)
		}
	})
}
