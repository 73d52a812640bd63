package owner

import (
	"strings"
	"testing"
	"time"
)

func FuzzParseMetadata(f *testing.F) {
	made := NewMetadata("web", "base", "web", time.Minute)
	made.Address, made.Kept = &MetadataAddress{Network: "default", IP: "10.0.0.7"}, &MetadataKept{}
	f.Add(made.XML())
	f.Add(`<a:b xmlns:a="x"><c/></a:b>` + made.XML() + `<m xmlns="` + javaNamespace + `"><parent_domain>p</parent_domain></m>`)
	f.Add(`<clone xmlns="` + MetadataNamespace + `" version="1" name="web"><lease renewed="2026-01-01T00:00:00Z" seconds="9223372036854775807"/></clone>`)
	f.Fuzz(func(t *testing.T, inner string) {
		ParseJavaMetadata(inner)
		if kept := InheritedMetadata(inner); FindElement(kept, MetadataNamespace) != "" {
			t.Errorf("a clone inherits %q", kept)
		}
		m := ParseMetadata("web", inner)
		if m == nil {
			return
		}
		if m.lease() < 0 {
			t.Errorf("the lease is %v", m.lease())
		}
		m.isLongExpired(time.Now())
		_ = Process(m.Owner).State(Self())
	})
}

func FuzzParseName(f *testing.F) {
	f.Add(NewName("web", Self()) + "-fs0")
	f.Add(NewName("a-b.c_d", Self()) + "-look3-1700000000")
	f.Add("overcast-../../etc-0123456789abcdef-1-1-01234567")
	f.Fuzz(func(t *testing.T, name string) {
		made, ok := ParseName(name)
		if ok && (!strings.HasPrefix(name, made.Clone) || strings.ContainsAny(name, "/\n\x00 ")) {
			t.Errorf("%q is the name of %+v", name, made)
		}
	})
}

func FuzzParseObservations(f *testing.F) {
	f.Add([]byte(`{"web":{"renewed":"2026-01-01T00:00:00Z","since":1,"machine":"m"}}`))
	f.Add([]byte("null"))
	f.Fuzz(func(_ *testing.T, text []byte) {
		parseObservations(text).observe([]*Metadata{{Name: "web"}}, "m", time.Unix(0, 0), time.Hour)
	})
}
