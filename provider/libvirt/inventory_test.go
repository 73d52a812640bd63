package libvirt

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestInventoryListsWhatAConfigurationCanName(t *testing.T) {
	url := testNode(t, `
  `+testDomain("web", 5, "<interface type='network'><source network='nat'/></interface><interface type='bridge'><source bridge='br0'/></interface>")+`
  `+testDomain("alone", 5, "")+testDomain("runs", 1, "")+testDomain("overcast-layer-1", 5, "")+`
  <network><name>nat</name><bridge name='virbr1'/><ip address='192.0.2.1' netmask='255.255.255.0'><dhcp><range start='192.0.2.2' end='192.0.2.9'/></dhcp></ip></network>
  <network><name>isolated</name><bridge name='virbr2'/></network>
  <pool type='dir'><name>images</name><target><path>/images</path></target></pool>
`)
	found, err := TakeInventory(t.Context(), url)
	require.NoError(t, err)
	assert.Equal(t, Inventory{
		Bases:    []BaseDomain{{"alone", nil}, {"web", []string{"nat", "br0"}}},
		Others:   []string{"runs"},
		Networks: []string{"nat"},
		Pools:    []string{"images"},
	}, found)
}

// testNode returns the URL of a hypervisor of libvirt's test driver with what is defined. Each
// connection has a copy of it, unlike "test:///default", which is one for the whole process.
func testNode(t *testing.T, definitions string) (url string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "node.xml")
	require.NoError(t, os.WriteFile(path, []byte(`<node xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>`+definitions+`</node>`), 0o600))
	return "test://" + path
}

// testDomain is a domain of libvirt's test driver.
func testDomain(name string, state int, devices string) string {
	return `<domain type='test'><name>` + name + `</name><memory>1024</memory><os><type>hvm</type></os><devices>` + devices + `</devices>` +
		`<test:runstate>` + string(rune('0'+state)) + `</test:runstate></domain>`
}
