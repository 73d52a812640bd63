package domainxml

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestStaticAddressDeterminesUUIDAndMACAddress(t *testing.T) {
	one, mapped, other := netip.MustParseAddr("192.168.122.50"), netip.MustParseAddr("::ffff:192.168.122.50"), netip.MustParseAddr("fd00::50")
	assert.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, StaticSeed(one).UUID())
	// All machines have to agree on them, those with other versions included.
	assert.Equal(t, "03c20ee8-cfef-8f2b-9ce9-de84c999073d", StaticSeed(one).UUID())
	assert.Equal(t, StaticSeed(one).UUID(), StaticSeed(mapped).UUID())
	assert.NotEqual(t, StaticSeed(one).UUID(), StaticSeed(other).UUID())
	assert.Equal(t, StaticSeed(one).MAC(""), StaticSeed(mapped).MAC(""))
	assert.NotEqual(t, StaticSeed(one).MAC(""), StaticSeed(other).MAC(""))
	assert.Equal(t, "52:54:00", StaticSeed(one).MAC("").String()[:8])
}

func TestSeedDeterminesTheIdentity(t *testing.T) {
	from := base(t, fileDisk+onNetwork+onBridge+`<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>`)
	planned := func(s Seed) *Clone {
		c, err := planClone(from, options{Label: "web", Network: "br0", Cache: "unsafe", TPMDir: "/swtpm"})
		require.NoError(t, err)
		c.SetIdentity(s)
		assert.Equal(t, c.UUID, c.Definition.UUID)
		assert.Equal(t, "/swtpm/"+c.UUID+"/tpm2", c.TPMDir)
		assert.Equal(t, c.MAC.String(), c.Definition.Devices.Interfaces[1].MAC.Address, "the interface that is looked up")
		assert.Equal(t, s.MAC(" interface 1"), c.MAC)
		assert.NotEqual(t, c.MAC.String(), c.Definition.Devices.Interfaces[0].MAC.Address)
		return c
	}
	one, again, other := planned("slot 0"), planned("slot 0"), planned("slot 1")
	assert.Equal(t, one.Definition.Devices.Interfaces, again.Definition.Devices.Interfaces)
	assert.Equal(t, one.UUID, again.UUID)
	assert.NotEqual(t, one.UUID, other.UUID)
	for n, i := range one.Definition.Devices.Interfaces {
		assert.NotEqual(t, i.MAC.Address, other.Definition.Devices.Interfaces[n].MAC.Address)
	}
}

func TestInterfaceThatIsLookedUpDoesNotChangeMACAddresses(t *testing.T) {
	from := base(t, fileDisk+onNetwork+onBridge)
	macs := func(network string) (all []string) {
		c, err := planClone(from, options{Label: "web", Network: network, Cache: "unsafe"})
		require.NoError(t, err)
		c.SetIdentity("slot 0")
		for _, i := range c.Definition.Devices.Interfaces {
			all = append(all, i.MAC.Address)
		}
		return all
	}
	assert.Equal(t, macs("my_nat_network"), macs("br0"))
}

func TestStaticAddressGivesTheSameMACAddressOnEachInterface(t *testing.T) {
	from, address := base(t, fileDisk+onNetwork+onBridge), netip.MustParseAddr("10.0.0.9")
	for _, network := range []string{"my_nat_network", "br0"} {
		c, err := planClone(from, options{Label: "web", Network: network, Cache: "unsafe"})
		require.NoError(t, err)
		c.SetStaticIdentity(address)
		assert.Equal(t, StaticSeed(address).UUID(), c.UUID)
		assert.Equal(t, StaticSeed(address).MAC(""), c.MAC)
	}
}
