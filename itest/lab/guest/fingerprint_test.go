//go:build linux

package guest

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestFingerprintIsOfAllThatGoesIn(t *testing.T) {
	kernel := source{name: "linux-image-1", version: "1", sha256: "aa"}
	rest := func() []source {
		return []source{{name: "busybox", version: "1", sha256: "bb"}, {name: "dropbear", version: "2", sha256: "cc"}}
	}
	same := fingerprint(kernel, rest())
	assert.Equal(t, same, fingerprint(kernel, rest()))

	for name, change := range map[string]func(k *source, rest *[]source){
		"kernel's version":   func(k *source, _ *[]source) { k.version = "2" },
		"kernel's name":      func(k *source, _ *[]source) { k.name = "linux-image-2" },
		"kernel's checksum":  func(k *source, _ *[]source) { k.sha256 = "ab" },
		"package's version":  func(_ *source, rest *[]source) { (*rest)[1].version = "3" },
		"package's checksum": func(_ *source, rest *[]source) { (*rest)[1].sha256 = "cd" },
		"a package less":     func(_ *source, rest *[]source) { *rest = (*rest)[:1] },
		"a package more":     func(_ *source, rest *[]source) { *rest = append(*rest, source{name: "libc6"}) },
	} {
		t.Run(name, func(t *testing.T) {
			k, r := kernel, rest()
			change(&k, &r)
			assert.NotEqual(t, same, fingerprint(k, r))
		})
	}
}
