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

// decode reads the section fsMapping and keeps its order.
func decode(t *testing.T, text string) ([]mount.Entry, error) {
	t.Helper()
	document, err := hocon.Parse(t.Context(), "overcast.conf", []byte(text), nil)
	require.NoError(t, err)
	root, err := document.Resolve(t.Context(), nil)
	require.NoError(t, err)
	section, ok := root.Get("fsMapping")
	require.True(t, ok)
	var mappings map[string]mount.Mapping
	err = section.Decode(&mappings)
	var entries []mount.Entry
	for _, target := range section.Keys() {
		entries = append(entries, mount.Entry{Target: target, Mapping: mappings[target]})
	}
	return entries, err
}

func apply(t *testing.T, devices string, mappings []mount.Entry) []libvirtxml.DomainFilesystem {
	t.Helper()
	var domain libvirtxml.Domain
	require.NoError(t, domain.Unmarshal(`<domain><name>base</name><devices>`+devices+`</devices></domain>`))
	mount.Apply(&domain, mappings)
	return domain.Devices.Filesystems
}

func TestApplyAddsADeviceForEachMapping(t *testing.T) {
	mappings, err := decode(t, `
		itest { vagrantDir = /srv, dataDir = /srv/data }
		fsMapping {
			vagrant { hostPath = ${itest.vagrantDir}"/itest/vagrant", readOnly = true }
			data    { hostPath = ${itest.dataDir}, readOnly = true, accessMode = "mapped" }
		}`)
	require.NoError(t, err)
	devices := apply(t, "", mappings)
	require.Len(t, devices, 2)
	assert.Equal(t, "/srv/itest/vagrant", devices[0].Source.Mount.Dir)
	assert.Equal(t, "passthrough", devices[0].AccessMode)
	text, err := devices[1].Marshal()
	require.NoError(t, err)
	assert.Equal(t, `<filesystem type="mount" accessmode="mapped">
  <source dir="/srv/data"></source>
  <target dir="data"></target>
  <readonly></readonly>
</filesystem>`, text)
}

func TestMappingsAreReadOnlyPassthroughByDefault(t *testing.T) {
	mappings, err := decode(t, `fsMapping { data.hostPath = /srv, out { hostPath = /out, readOnly = no, accessMode = SQUASH } }`)
	require.NoError(t, err)
	devices := apply(t, "", mappings)
	assert.Equal(t, "passthrough", devices[0].AccessMode)
	assert.NotNil(t, devices[0].ReadOnly)
	assert.Equal(t, "squash", devices[1].AccessMode)
	assert.Nil(t, devices[1].ReadOnly)
}

func TestApplyKeepsTheOrderAndSpellingOfTargets(t *testing.T) {
	mappings, err := decode(t, `fsMapping { Zeta.hostPath = /z, alpha.hostPath = /a, "Mid.dle".hostPath = /m }`)
	require.NoError(t, err)
	var targets []string
	for _, device := range apply(t, "", mappings) {
		targets = append(targets, device.Target.Dir)
	}
	assert.Equal(t, []string{"Zeta", "alpha", "Mid.dle"}, targets)
}

func TestApplyReplacesAFilesystemWithTheSameTarget(t *testing.T) {
	mappings, err := decode(t, `fsMapping { data.hostPath = /mine }`)
	require.NoError(t, err)
	devices := apply(t, `<filesystem type='mount'><source dir='/base'/><target dir='data'/></filesystem>
		<filesystem type='mount'><source dir='/other'/><target dir='other'/></filesystem>`, mappings)
	require.Len(t, devices, 2)
	assert.Equal(t, "other", devices[0].Target.Dir)
	assert.Equal(t, "/mine", devices[1].Source.Mount.Dir)
}

func TestDecodeRefusesInvalidMappings(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"missing path":   {`fsMapping { data {} }`, `hostPath`},
		"unknown mode":   {`fsMapping { data { hostPath = /a, accessMode = open } }`, `overcast.conf:1:48: fsMapping.data.accessMode: `},
		"unknown driver": {`fsMapping { data { hostPath = /a, driver = nfs } }`, `overcast.conf:1:44: fsMapping.data.driver: "nfs" is not a valid Driver: "nfs" is not a driver: use 9p, virtiofs or auto`},
		"unknown key":    {`fsMapping { data { hostPaht = /a } }`, `did you mean "hostPath"?`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decode(t, test.text)
			require.Error(t, err)
			assert.Contains(t, err.Error(), test.want)
		})
	}
}

func TestCheckTarget(t *testing.T) {
	for _, test := range []struct {
		target string
		driver mount.Driver
		want   string
	}{
		{"data", "", ""},
		{"Daten-größe.1", "", ""},
		{strings.Repeat("x", 31), mount.NineP, ""},
		{strings.Repeat("x", 32), mount.NineP, "32 bytes: a 9p mount tag has at most 31 (with driver = virtiofs at most 36)"},
		{strings.Repeat("x", 32), mount.Auto, "at most 31"},
		{strings.Repeat("ä", 16), "", "32 bytes"},
		{strings.Repeat("x", 36), mount.VirtioFS, ""},
		{strings.Repeat("x", 37), mount.VirtioFS, "37 bytes: a virtiofs mount tag has at most 36"},
		{"", "", "empty"},
		{"a,b", "", "must not contain commas"},
		{"a b", "", "blanks"},
		{"a\tb", "", "blanks"},
		{"/data", "", "not a path"},
		{"-data", "", `must not start with "-"`},
		{"#data", "", `must not start with "#"`},
	} {
		err := mount.CheckTarget(test.target, test.driver)
		if test.want == "" {
			assert.NoError(t, err, test.target)
		} else if assert.Error(t, err, test.target) {
			assert.Contains(t, err.Error(), test.want)
		}
	}
}
