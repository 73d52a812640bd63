package mount_test

import (
	"testing"

	"github.com/overcast-go/overcast/mount"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"libvirt.org/go/libvirtxml"
)

func TestVirtioFSMakesTheMemoryShared(t *testing.T) {
	mappings, err := decode(t, `fsMapping { data { hostPath = /a, driver = virtiofs, readOnly = false } }`)
	require.NoError(t, err)
	for name, test := range map[string]struct{ base, want string }{
		"no element": {``, `<source type="memfd"></source><access mode="shared"></access>`},
		"anonymous":  {`<memoryBacking><source type='anonymous'/><access mode='private'/><locked/></memoryBacking>`, `<locked></locked><source type="memfd"></source><access mode="shared"></access>`},
		"files":      {`<memoryBacking><source type='file'/></memoryBacking>`, `<source type="file"></source><access mode="shared"></access>`},
		"huge pages": {`<memoryBacking><hugepages/></memoryBacking>`, `<hugepages></hugepages><access mode="shared"></access>`},
	} {
		t.Run(name, func(t *testing.T) {
			var domain libvirtxml.Domain
			require.NoError(t, domain.Unmarshal(`<domain><name>base</name>`+test.base+`</domain>`))
			mount.Apply(&domain, mappings)
			var want libvirtxml.Domain
			require.NoError(t, want.Unmarshal(`<domain><memoryBacking>`+test.want+`</memoryBacking></domain>`))
			assert.Equal(t, want.MemoryBacking, domain.MemoryBacking)
			text, err := domain.Devices.Filesystems[0].Marshal()
			require.NoError(t, err)
			assert.Equal(t, `<filesystem type="mount" accessmode="passthrough">
  <driver type="virtiofs"></driver>
  <source dir="/a"></source>
  <target dir="data"></target>
</filesystem>`, text)
		})
	}
}

func TestVirtioFSMakesPrivateNUMANodesShared(t *testing.T) {
	mappings, err := decode(t, `fsMapping { data { hostPath = /a, driver = virtiofs, readOnly = false } }`)
	require.NoError(t, err)
	var domain libvirtxml.Domain
	require.NoError(t, domain.Unmarshal(`<domain><cpu><numa><cell memory='1' memAccess='private'/><cell memory='1'/></numa></cpu></domain>`))
	mount.Apply(&domain, mappings)
	assert.Equal(t, "shared", domain.CPU.Numa.Cell[0].MemAccess)
	assert.Equal(t, "", domain.CPU.Numa.Cell[1].MemAccess)
}

func TestNinePDoesNotChangeTheMemory(t *testing.T) {
	mappings, err := decode(t, `fsMapping { data { hostPath = /a, driver = 9p } }`)
	require.NoError(t, err)
	domain := &libvirtxml.Domain{}
	mount.Apply(domain, mappings)
	assert.Nil(t, domain.MemoryBacking)
	assert.Nil(t, domain.Devices.Filesystems[0].Driver)
}
