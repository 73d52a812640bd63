package snapshot

import (
	"encoding/json"
	"testing"

	"github.com/overcast-go/overcast/provider"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"libvirt.org/go/libvirt"
)

func TestWritableSelectsOverlays(t *testing.T) {
	var nodes []node
	require.NoError(t, json.Unmarshal([]byte(`[
		{"node-name":"libvirt-1-format","drv":"qcow2","ro":false,"image":{"snapshots":[{"name":"one"}]}},
		{"node-name":"libvirt-1-storage","drv":"file","ro":false,"image":{}},
		{"node-name":"libvirt-2-format","drv":"qcow2","ro":true,"image":{}},
		{"node-name":"libvirt-pflash1-format","drv":"raw","ro":false,"image":{}}]`), &nodes))
	selected, err := writable(nodes)
	require.NoError(t, err)
	assert.Equal(t, []string{"libvirt-1-format"}, selected.names())
	assert.True(t, selected.Have("one"))
	assert.False(t, selected.Have("two"))
	_, err = writable(nil)
	require.EqualError(t, err, "the domain has no writable disk to save its state in")
}

func TestExplainNamesWhatPreventsACheckpointAndWhatToDo(t *testing.T) {
	for message, want := range map[string]struct {
		text    string
		blocked bool
	}{
		"Migration is disabled when VirtFS export path '/srv/data' is mounted in the guest using mount_tag 'data'": {"set fsMapping.data.mountAt instead", true},
		"State blocked by non-migratable device '0000:00:05.0/vhost-user-fs'":                                      {"use driver = 9p and mountAt", true},
		"State blocked by non-migratable device '0000:00:06.0/vfio'":                                               {"the device 0000:00:06.0/vfio cannot be saved", true},
		"Error while writing VM state: No space left on device":                                                    {"no space is left in the pool", false},
		"Error while writing VM state: Input/output error":                                                         {"the state cannot be written to the pool of the disks, which is probably full: free", false},
		"something else": {"something else", false},
	} {
		err := explain(message)
		require.ErrorContains(t, err, want.text)
		if want.blocked {
			require.ErrorIs(t, err, provider.ErrNoCheckpoint)
		} else {
			require.NotErrorIs(t, err, provider.ErrNoCheckpoint)
		}
	}
}

func TestExplainSaveNamesWhatPreventsLibvirtFromSaving(t *testing.T) {
	failed := libvirt.Error{Code: libvirt.ERR_OPERATION_INVALID, Message: "cannot migrate domain: Migration is disabled when VirtFS export path '/srv/data' is mounted in the guest using mount_tag 'data'"}
	err := ExplainSave(failed)
	require.ErrorIs(t, err, provider.ErrNoCheckpoint)
	require.ErrorContains(t, err, "set fsMapping.data.mountAt instead")
	failed.Message = "something else"
	require.Equal(t, failed, ExplainSave(failed))
}

func TestRefusedMonitorCommandsAreNamed(t *testing.T) {
	open := map[string]func() (*libvirt.Connect, error){
		"the hypervisor has no commands to QEMU's monitor": func() (*libvirt.Connect, error) { return libvirt.NewConnect("test:///default") },
		"libvirt refuses commands to QEMU's monitor":       func() (*libvirt.Connect, error) { return libvirt.NewConnectReadOnly("test:///default") },
	}
	for want, connect := range open {
		conn, err := connect()
		require.NoError(t, err)
		defer conn.Close()
		domain, err := conn.LookupDomainByName("test")
		require.NoError(t, err)
		defer domain.Free()
		_, err = ReadDisks(domain)
		require.ErrorIs(t, err, provider.ErrNoCheckpoint)
		require.ErrorContains(t, err, want)
	}
}
