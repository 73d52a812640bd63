package libvirt

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSlots(t *testing.T) {
	on, release, err := newConnections().acquire(t.Context(), "test:///default")
	require.NoError(t, err)
	defer release()
	hypervisor, err := on.conn.GetHostname()
	require.NoError(t, err)
	from := base(t, fileDisk+onNetwork)
	from.UUID = newUUID()
	for slot := range 4 {
		removeLocks(t, "slot-"+slotSeed(hypervisor, from.UUID, slot).uuid())
	}
	var all undo
	defer all.run(t.Context(), nil)
	take := func(u *undo) string {
		t.Helper()
		c, err := planClone(from, plan{label: "web", cache: "unsafe"})
		require.NoError(t, err)
		require.NoError(t, (&instance{label: "web", undo: u}).takeSlot(t.Context(), on.conn, c))
		assert.Equal(t, c.mac.String(), c.definition.Devices.Interfaces[0].MAC.Address)
		for slot := range 4 {
			if s := slotSeed(hypervisor, from.UUID, slot); s.uuid() == c.uuid {
				assert.Equal(t, s.mac(""), c.mac)
				return fmt.Sprint(slot)
			}
		}
		return "none"
	}
	assert.Equal(t, "0", take(&all))
	var second undo
	assert.Equal(t, "1", take(&second))
	assert.Equal(t, "2", take(&all))
	require.NoError(t, second.run(t.Context(), nil))
	assert.Equal(t, "1", take(&second), "the lowest that is free")
	require.NoError(t, second.run(t.Context(), nil))

	// A kept clone, or one of another machine, holds no lock here.
	domain, err := on.conn.DomainDefineXML(fmt.Sprintf(`<domain type='test'><name>kept</name><uuid>%s</uuid><memory>8192</memory><os><type>hvm</type></os></domain>`, slotSeed(hypervisor, from.UUID, 1).uuid()))
	require.NoError(t, err)
	defer domain.Free()
	assert.Equal(t, "3", take(&all))
	require.NoError(t, domain.Undefine())
	assert.Equal(t, "1", take(&second))
	require.NoError(t, second.run(t.Context(), nil))
}
