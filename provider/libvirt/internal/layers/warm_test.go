package layers

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/overcast-go/overcast/provider/libvirt/internal/domainxml"
	"github.com/overcast-go/overcast/provider/libvirt/internal/storage"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

func TestWarmVolumesAreReadFromTheMetadataOfTheLayer(t *testing.T) {
	key := NewKey("a")
	m := newMetadata(KindWarm, key, "base", "web", 7)
	m.Warm = &Warm{Slot: 3, Memory: storage.VolumeRef{Pool: "default", Name: "memory"}, Address: "192.0.2.7", MAC: "52:54:00:00:00:01", Network: "net"}
	read := parseMetadata(key.Domain(), m.text())
	require.NotNil(t, read)
	assert.Equal(t, m.Warm, read.Warm)
	assert.Equal(t, []storage.VolumeRef{{Pool: "default", Name: "memory"}}, warmVolumes(key.Domain(), m.text()))
	m.Warm.Seed = storage.VolumeRef{Pool: "default", Name: "seed"}
	assert.Equal(t, []storage.VolumeRef{{Pool: "default", Name: "memory"}, {Pool: "default", Name: "seed"}}, warmVolumes(key.Domain(), m.text()))
	assert.Empty(t, warmVolumes("a-copy", m.text()), "a copy of the domain by a user")
	m.Warm = nil
	assert.Empty(t, warmVolumes(key.Domain(), m.text()), "another layer")
}

func TestWarmLayerOwnsTheVolumesOfTheCloneThatWasSaved(t *testing.T) {
	const disk = "overcast-web-75b421fe6a6362fa-299-8199722-11fb0b7d-vda.qcow2"
	volume := func(name string) libvirtxml.DomainDisk {
		return libvirtxml.DomainDisk{Source: Disk{Pool: "default", Volume: name}.source()}
	}
	l := &Layer{
		Metadata:   Metadata{Name: "overcast-layer-a", Warm: &Warm{Memory: storage.VolumeRef{Pool: "other", Name: "memory"}}},
		Definition: &libvirtxml.Domain{Devices: &libvirtxml.DomainDeviceList{Disks: []libvirtxml.DomainDisk{volume(disk), volume("cdrom.iso")}}},
	}
	assert.Equal(t, map[string]string{"memory": "other", disk: "default"}, l.volumes())
}

func TestAddressIsReservedByTheMACAddress(t *testing.T) {
	var network libvirtxml.Network
	require.NoError(t, network.Unmarshal(`<network><ip address='192.0.2.1'/><ip address='198.51.100.1'><dhcp><host mac='52:54:00:AA:00:01' ip='198.51.100.7'/></dhcp></ip></network>`))
	assert.True(t, (&Warm{MAC: "52:54:00:aa:00:01"}).isReserved(&network))
	assert.False(t, (&Warm{MAC: "52:54:00:aa:00:02"}).isReserved(&network))
}

func TestSavedDefinitionKeepsTheAddressesOfItsDevices(t *testing.T) {
	var d libvirtxml.Domain
	require.NoError(t, d.Unmarshal(`<domain type='qemu'><name>a</name><seclabel type='dynamic'/><devices>
		<interface type='network'><source network='n' portid='p' bridge='virbr0'/><target dev='vnet3'/><address type='pci' domain='0x0000' bus='0x00' slot='0x03' function='0x0'/></interface>
		<interface type='bridge'><source bridge='br0'/><target dev='mine'/></interface></devices></domain>`))
	forgetHost(&d)
	text, err := d.Marshal()
	require.NoError(t, err)
	assert.NotContains(t, text, "vnet3")
	assert.NotContains(t, text, "portid")
	assert.NotContains(t, text, "virbr0")
	assert.NotContains(t, text, "seclabel")
	assert.Contains(t, text, `slot="0x03"`)
	assert.Contains(t, text, `dev="mine"`)
}

func TestReadOnlyFilesOfABaseAreIdentifiedByTheirContent(t *testing.T) {
	conn, err := libvirt.NewConnect("test:///default")
	require.NoError(t, err)
	defer conn.Close()
	dir := t.TempDir()
	var base libvirtxml.Domain
	require.NoError(t, base.Unmarshal(`<domain><os><kernel>`+dir+`/vmlinuz</kernel><initrd>`+dir+`/initrd</initrd></os><devices>
		<disk type='file'><source file='`+dir+`/written'/><target dev='vda'/></disk>
		<disk type='file' device='cdrom'><source file='`+dir+`/seed.iso'/><target dev='sda'/></disk>
		<disk type='file' device='cdrom'><target dev='sdb'/></disk>
		<disk type='file'><source file='`+dir+`/data'/><target dev='vdb'/><readonly/></disk></devices></domain>`))
	read := func() []string {
		t.Helper()
		found, err := readOnlyFiles(conn, &base)
		require.NoError(t, err)
		return found
	}
	files := []string{"vmlinuz", "initrd", "seed.iso", "data"}
	for _, name := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	before := read()
	assert.Len(t, before, len(files))
	assert.Equal(t, before, read())
	for n, name := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("other"), 0o600))
		now := read()
		assert.NotEqual(t, before[n], now[n], name)
		before = now
	}
	require.NoError(t, os.Remove(filepath.Join(dir, "vmlinuz")))
	_, err = readOnlyFiles(conn, &base)
	require.EqualError(t, err, "the kernel of its base is in no pool, so its changes cannot be seen")
	base.OS = nil
	base.Devices.Disks[3].Source = &libvirtxml.DomainDiskSource{Block: &libvirtxml.DomainDiskSourceBlock{Dev: "/dev/sr0"}}
	_, err = readOnlyFiles(conn, &base)
	require.EqualError(t, err, "disk vdb of its base is no file, so its changes cannot be seen")
}

func TestKeyOfAProvisionedLayerChangesWithACdromOfItsBase(t *testing.T) {
	conn, err := libvirt.NewConnect("test:///default")
	require.NoError(t, err)
	defer conn.Close()
	iso := filepath.Join(t.TempDir(), "tools.iso")
	var base libvirtxml.Domain
	require.NoError(t, base.Unmarshal(`<domain><name>a</name><devices>
		<disk type='block' device='cdrom'><source dev='/dev/sr0'/><target dev='sda'/></disk>
		<disk type='file' device='cdrom'><source file='`+iso+`'/><target dev='sdb'/></disk></devices></domain>`))
	key := func() Key {
		t.Helper()
		found, err := ProvisionedKey(conn, &base, &domainxml.Clone{})
		require.NoError(t, err, "a device whose changes cannot be seen does not prevent a layer")
		return found
	}
	require.NoError(t, os.WriteFile(iso, nil, 0o600))
	before := key()
	assert.Equal(t, before, key())
	require.NoError(t, os.WriteFile(iso, []byte("other"), 0o600))
	assert.NotEqual(t, before, key())
}

func TestASlotSupersedesThoseOfItsHostWithTheSameNumber(t *testing.T) {
	slot := func(key, label, network string, number int) *Layer {
		return &Layer{Metadata: Metadata{Key: NewKey(key), Label: label, Warm: &Warm{Slot: number, Network: network}}}
	}
	by := slot("new", "web", "default", 0)
	assert.True(t, slot("old", "web", "default", 0).isSuperseded(by))
	for what, other := range map[string]*Layer{
		"itself":          by,
		"another host":    slot("old", "db", "default", 0),
		"another number":  slot("old", "web", "default", 1),
		"another network": slot("old", "web", "other", 0),
		"no slot":         {Metadata: Metadata{Key: NewKey("image"), Label: "web"}},
	} {
		assert.False(t, other.isSuperseded(by), what)
	}
}
