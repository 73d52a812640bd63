package mount_test

import (
	"strings"
	"testing"

	"github.com/overcast-go/overcast/hocon"
	"github.com/overcast-go/overcast/mount"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"libvirt.org/go/libvirtxml"
)

// decode reads a section fsMapping.
func decode(t *testing.T, text string) (map[string]mount.Mapping, error) {
	t.Helper()
	document, err := hocon.Parse("overcast.conf", []byte(text), nil)
	require.NoError(t, err)
	root, err := document.Resolve(nil)
	require.NoError(t, err)
	section, ok := root.Get("fsMapping")
	require.True(t, ok)
	var mappings map[string]mount.Mapping
	return mappings, section.Decode(&mappings)
}

func apply(t *testing.T, devices string, mappings map[string]mount.Mapping) []libvirtxml.DomainFilesystem {
	t.Helper()
	var domain libvirtxml.Domain
	require.NoError(t, domain.Unmarshal(`<domain><name>base</name><devices>`+devices+`</devices></domain>`))
	mount.Apply(&domain, mappings)
	return domain.Devices.Filesystems
}

func TestTheSeedsMappings(t *testing.T) {
	mappings, err := decode(t, `
		itest { vagrantDir = /srv, dataDir = /srv/data }
		fsMapping {
			vagrant { hostPath = ${itest.vagrantDir}"/itest/vagrant", readOnly = true }
			data    { hostPath = ${itest.dataDir}, readOnly = true, accessMode = "mapped" }
		}`)
	require.NoError(t, err)
	devices := apply(t, "", mappings)
	require.Len(t, devices, 2)
	text, err := devices[0].Marshal()
	require.NoError(t, err)
	assert.Equal(t, `<filesystem type="mount" accessmode="mapped">
  <source dir="/srv/data"></source>
  <target dir="data"></target>
  <readonly></readonly>
</filesystem>`, text)
	assert.Equal(t, "/srv/itest/vagrant", devices[1].Source.Mount.Dir)
	assert.Equal(t, "passthrough", devices[1].AccessMode)
}

func TestDefaults(t *testing.T) {
	mappings, err := decode(t, `fsMapping { data.hostPath = /srv, out { hostPath = /out, readOnly = no, accessMode = SQUASH } }`)
	require.NoError(t, err)
	devices := apply(t, "", mappings)
	assert.Equal(t, "passthrough", devices[0].AccessMode)
	assert.NotNil(t, devices[0].ReadOnly)
	assert.Equal(t, "squash", devices[1].AccessMode)
	assert.Nil(t, devices[1].ReadOnly)
}

func TestMappingTakesThePlaceOfTheBases(t *testing.T) {
	mappings, err := decode(t, `fsMapping { data.hostPath = /mine }`)
	require.NoError(t, err)
	devices := apply(t, `<filesystem type='mount'><source dir='/base'/><target dir='data'/></filesystem>
		<filesystem type='mount'><source dir='/other'/><target dir='other'/></filesystem>`, mappings)
	require.Len(t, devices, 2)
	assert.Equal(t, "other", devices[0].Target.Dir)
	assert.Equal(t, "/mine", devices[1].Source.Mount.Dir)
}

func TestMappingsThatAreNotRight(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"no path":      {`fsMapping { data {} }`, `hostPath`},
		"unknown mode": {`fsMapping { data { hostPath = /a, accessMode = open } }`, `overcast.conf:1:48: fsMapping.data.accessMode: `},
		"unknown key":  {`fsMapping { data { hostPaht = /a } }`, `did you mean "hostPath"?`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decode(t, test.text)
			require.Error(t, err)
			assert.Contains(t, err.Error(), test.want)
		})
	}
}

func TestCheckTarget(t *testing.T) {
	for target, want := range map[string]string{
		"data":                  "",
		strings.Repeat("x", 31): "",
		strings.Repeat("x", 32): "32 bytes",
		"":                      "empty",
		"a,b":                   "no commas",
		"/data":                 "not a path",
	} {
		err := mount.CheckTarget(target)
		if want == "" {
			assert.NoError(t, err, target)
		} else if assert.Error(t, err, target) {
			assert.Contains(t, err.Error(), want)
		}
	}
}
