package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestWarmSaysWhyAHostHasNoSlots(t *testing.T) {
	const conf = `
		cold { libvirtURL = "test:///default", libvirtBaseDomain = test, connection.url = "ssh://root@{0}" }
		web = ${cold} { warm = true }
		static_web = ${web} { ipLookupStrategy = static, static.ip = 192.0.2.7 }`
	for name, c := range map[string]struct {
		cache string
		args  []string
		want  string
	}{
		"no slots":         {"", []string{"web", "--slots", "0"}, "--slots must be at least 1"},
		"not warm":         {"", []string{"cold"}, "saving the memory of cold: warm is not set: write warm = true in its section"},
		"no cache":         {"off", []string{"web"}, "saving the memory of web: the environment has OVERCAST_CACHE=off, with which no host is warm: unset it"},
		"a static address": {"", []string{"static_web", "--slots", "2"}, "saving the memory of static_web: a host with a static address has one slot: leave out --slots"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("OVERCAST_CACHE", c.cache)
			code, out, stderr := overcast(t, conf, append([]string{"warm"}, c.args...)...)
			assert.NotEqual(t, 0, code)
			assert.Empty(t, out)
			assert.Contains(t, stderr, c.want)
		})
	}
}
