package libvirt

import (
	"fmt"
	"testing"

	"github.com/overcast-go/overcast/internal/filelock/filelocktest"
	"github.com/overcast-go/overcast/provider/libvirt/internal/domainxml"
	"github.com/overcast-go/overcast/provider/libvirt/internal/storage"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"libvirt.org/go/libvirtxml"
)

// baseDomain is a base domain with a disk and an interface.
func baseDomain(t *testing.T) *libvirtxml.Domain {
	t.Helper()
	var domain libvirtxml.Domain
	require.NoError(t, domain.Unmarshal(`<domain type='test'><name>base</name><memory unit='MiB'>64</memory><os><type>hvm</type></os><devices>
		<disk type='file' device='disk'><source file='/images/base.qcow2'/><target dev='vda' bus='virtio'/></disk>
		<interface type='network'><mac address='52:54:00:aa:aa:aa'/><source network='my_nat_network'/></interface></devices></domain>`))
	return &domain
}

func TestCloneGetsTheLowestFreeSlot(t *testing.T) {
	on := testDriver(t)
	hypervisor, err := on.Conn.GetHostname()
	require.NoError(t, err)
	from := baseDomain(t)
	from.UUID = domainxml.NewUUID()
	for slot := range 5 {
		filelocktest.RemoveAtEnd(t, "slot-"+slotSeed(hypervisor, from.UUID, slot).UUID())
	}
	var all storage.Undo
	defer all.Run(t.Context(), nil)
	take := func(u *storage.Undo) string {
		t.Helper()
		c, err := domainxml.NewClone(from, "web")
		require.NoError(t, err)
		require.NoError(t, c.PlanInterfaces("", nil))
		require.NoError(t, (&instance{label: "web", undo: u}).takeSlot(t.Context(), on.Conn, c))
		assert.Equal(t, c.MAC.String(), c.Definition.Devices.Interfaces[0].MAC.Address)
		for slot := range 5 {
			if s := slotSeed(hypervisor, from.UUID, slot); s.UUID() == c.UUID {
				assert.Equal(t, s.MAC(" interface 0"), c.MAC)
				return fmt.Sprint(slot)
			}
		}
		return "none"
	}
	assert.Equal(t, "0", take(&all))
	var second storage.Undo
	assert.Equal(t, "1", take(&second))
	assert.Equal(t, "2", take(&all))
	require.NoError(t, second.Run(t.Context(), nil))
	assert.Equal(t, "1", take(&second), "the lowest that is free")
	require.NoError(t, second.Run(t.Context(), nil))

	// A kept clone, or a clone of another machine, holds no lock on this machine.
	domain, err := on.Conn.DomainDefineXML(fmt.Sprintf(`<domain type='test'><name>kept</name><uuid>%s</uuid><memory>8192</memory><os><type>hvm</type></os></domain>`, slotSeed(hypervisor, from.UUID, 1).UUID()))
	require.NoError(t, err)
	defer domain.Free()
	assert.Equal(t, "3", take(&all))
	require.NoError(t, domain.Undefine())
	assert.Equal(t, "1", take(&second))
	require.NoError(t, second.Run(t.Context(), nil))

	// A running domain that overcast has not created may have the MAC address of a slot.
	domain, err = on.Conn.DomainCreateXML(fmt.Sprintf(`<domain type='test'><name>same-mac</name><memory>8192</memory><os><type>hvm</type></os><devices>
		<interface type='network'><mac address='%s'/><source network='default'/></interface></devices></domain>`, slotSeed(hypervisor, from.UUID, 1).MAC(" interface 0")), 0)
	require.NoError(t, err)
	defer domain.Free()
	assert.Equal(t, "4", take(&all))
	require.NoError(t, domain.Destroy())
	assert.Equal(t, "1", take(&second))
	require.NoError(t, second.Run(t.Context(), nil))
}
