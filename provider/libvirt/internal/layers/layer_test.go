package layers

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/overcast-go/overcast/provider/libvirt/internal/domainxml"
	"github.com/overcast-go/overcast/provider/libvirt/internal/storage"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

var onHost = Host{Arch: "x86_64", KVM: true, Bridges: domainxml.Bridges{"default": "virbr0"}}

func TestKeyDependsOnEachPart(t *testing.T) {
	assert.Equal(t, NewKey("a", "b"), NewKey("a", "b"))
	assert.NotEqual(t, NewKey("a", "b"), NewKey("b", "a"))
	assert.NotEqual(t, NewKey("a", "b"), NewKey("ab"))
	assert.NotEqual(t, NewKey("a", "b"), NewKey("a", "b", ""))
	assert.Len(t, string(NewKey()), 64)
	assert.Equal(t, "overcast-layer-"+NewKey("a").Short(), NewKey("a").Domain())
}

func TestMetadataIsReadAsItWasWritten(t *testing.T) {
	m := newMetadata(KindImage, NewKey("a"), "/images/<a>.qcow2", "web", 4711)
	read := parseMetadata(m.Name, `<other xmlns="urn:other"/>`+m.text())
	require.NotNil(t, read)
	read.XMLName = m.XMLName
	assert.Equal(t, m, read)
	assert.Nil(t, parseMetadata("a-copy", m.text()), "the copy of a user is not a layer")
	m.Version = 99
	assert.Nil(t, parseMetadata(m.Name, m.text()), "a layer of another version")
	assert.Nil(t, parseMetadata(m.Name, ""))
}

func TestGeneratedDefinition(t *testing.T) {
	hardware := Hardware{Memory: 512 << 20, VCPUs: 2, Network: "default", Firmware: FirmwareBIOS}
	d, err := hardware.Definition(onHost, Disk{Pool: "pool", Volume: "a.qcow2", Format: "qcow2"})
	require.NoError(t, err)
	text, err := d.Marshal()
	require.NoError(t, err)
	for _, want := range []string{
		`<domain type="kvm">`, `<memory unit="b">536870912</memory>`, `<vcpu>2</vcpu>`, `machine="q35"`, `<cpu mode="host-passthrough">`,
		`<genid></genid>`, `<source pool="pool" volume="a.qcow2">`, `<target dev="vda" bus="virtio">`, `<source network="default">`,
		`<serial type="pty">`, `org.qemu.guest_agent.0`, `<rng model="virtio">`, `<graphics type="vnc"`,
	} {
		assert.Contains(t, text, want)
	}
	assert.NotContains(t, text, "firmware")
}

func TestGeneratedDefinitionDependsOnTheHypervisor(t *testing.T) {
	emulated := Host{Arch: "x86_64"}
	d, err := Hardware{Memory: 1, VCPUs: 1, Network: "br0", Firmware: FirmwareEFI}.Definition(emulated, Disk{})
	require.NoError(t, err)
	assert.Equal(t, "qemu", d.Type)
	assert.Equal(t, "maximum", d.CPU.Mode)
	assert.Equal(t, "efi", d.OS.Firmware)
	assert.Equal(t, "br0", d.Devices.Interfaces[0].Source.Bridge.Bridge)

	d, err = Hardware{Network: "default/group"}.Definition(onHost, Disk{})
	require.NoError(t, err)
	assert.Equal(t, "default", d.Devices.Interfaces[0].Source.Network.Network)
	assert.Equal(t, "group", d.Devices.Interfaces[0].Source.Network.PortGroup)
}

func TestImageReplacesTheFirstDiskOfDomainXML(t *testing.T) {
	file := filepath.Join(t.TempDir(), "domain.xml")
	define := func(devices string) {
		require.NoError(t, os.WriteFile(file, []byte(`<domain type='qemu'><name>a</name><devices>`+devices+`</devices></domain>`), 0o600))
	}
	define(`<disk device='cdrom'><target dev='sdb'/></disk><disk type='file'><source file='/old.img'/><target dev='sda' bus='sata'/></disk>`)
	d, err := Hardware{DomainXML: file}.Definition(onHost, Disk{Pool: "pool", Volume: "a.qcow2", Format: "qcow2"})
	require.NoError(t, err)
	assert.Nil(t, d.Devices.Disks[0].Source.Volume)
	assert.Equal(t, "a.qcow2", d.Devices.Disks[1].Source.Volume.Volume)
	assert.Equal(t, "qcow2", d.Devices.Disks[1].Driver.Type)

	define("")
	_, err = Hardware{DomainXML: file}.Definition(onHost, Disk{})
	require.ErrorContains(t, err, "has no disk that the image could replace")
	_, err = Hardware{DomainXML: file + ".none"}.Definition(onHost, Disk{})
	require.ErrorContains(t, err, "reading domainXML: ")
}

// testDriver connects to libvirt's test driver.
func testDriver(t *testing.T) *libvirt.Connect {
	t.Helper()
	conn, err := libvirt.NewConnect("test:///default")
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

// publishTest publishes a layer with a new volume of the test driver.
func publishTest(t *testing.T, conn *libvirt.Connect, key Key, volume string) *Layer {
	t.Helper()
	pool, err := conn.LookupStoragePoolByName("default-pool")
	require.NoError(t, err)
	defer pool.Free()
	made, err := pool.StorageVolCreateXML(`<volume><name>`+volume+`</name><capacity>1048576</capacity></volume>`, 0)
	require.NoError(t, err)
	require.NoError(t, made.Free())
	definition := &libvirtxml.Domain{}
	require.NoError(t, definition.Unmarshal(`<domain type='test'><name>a</name><memory>8192</memory><os><type>hvm</type></os><devices>
		<disk type='volume' device='disk'><source pool='default-pool' volume='`+volume+`'/><target dev='vda'/></disk></devices></domain>`))
	l, err := publish(conn, definition, newMetadata(KindProvisioned, key, "base", "web", 1))
	require.NoError(t, err)
	t.Cleanup(func() {
		if domain, err := conn.LookupDomainByName(key.Domain()); err == nil {
			_ = domain.Undefine()
			_ = domain.Free()
		}
		_ = storage.DeleteVolume(conn, "default-pool", volume)
	})
	return l
}

func TestLayerThatWasBuiltAgainIsNotTheOneThatWasUsed(t *testing.T) {
	conn, key := testDriver(t), NewKey(t.Name())
	used := publishTest(t, conn, key, key.Domain()+"-1-vda")
	require.NoError(t, used.Touch(conn))
	domain, err := conn.LookupDomainByName(key.Domain())
	require.NoError(t, err)
	defer domain.Free()
	require.NoError(t, domain.Undefine())
	require.ErrorIs(t, used.Touch(conn), ErrGone)
	publishTest(t, conn, key, key.Domain()+"-2-vda")
	require.ErrorIs(t, used.Touch(conn), ErrGone)
	require.NoError(t, used.Discard(t.Context(), conn))
	found, err := Find(conn, key)
	require.NoError(t, err)
	assert.NotNil(t, found, "it was not discarded")
}

func TestLayerThatRunsIsKept(t *testing.T) {
	conn, key := testDriver(t), NewKey(t.Name())
	publishTest(t, conn, key, key.Domain()+"-1-vda")
	domain, err := conn.LookupDomainByName(key.Domain())
	require.NoError(t, err)
	defer domain.Free()
	require.NoError(t, domain.Create())
	l, err := Find(conn, key)
	require.NoError(t, err)
	require.EqualError(t, l.CheckShutOff("test:///default"), `base domain "`+key.Domain()+`" at test:///default is running, and a clone's backing store must not change: shut it off first (virsh -c 'test:///default' shutdown '`+key.Domain()+`')`)

	kept := "layer " + key.Domain() + " is kept: its domain is running: shut it off first (virsh shutdown, or destroy)"
	require.EqualError(t, l.Discard(t.Context(), conn), kept)
	removed, err := Prune(t.Context(), conn, time.Now().Add(time.Minute))
	require.EqualError(t, err, kept)
	assert.Empty(t, removed)
	active, err := domain.IsActive()
	require.NoError(t, err)
	assert.True(t, active)

	require.NoError(t, domain.Destroy())
	l, err = Find(conn, key)
	require.NoError(t, err)
	require.NoError(t, l.CheckShutOff("test:///default"))
}

func TestNoLayerIsRemovedAfterTheContextHasEnded(t *testing.T) {
	conn, key := testDriver(t), NewKey(t.Name())
	publishTest(t, conn, key, key.Domain()+"-1-vda")
	ended, end := context.WithCancel(t.Context())
	end()
	removed, err := Prune(ended, conn, time.Now().Add(time.Minute))
	require.EqualError(t, err, "context canceled", "no removal was begun")
	assert.Empty(t, removed)
}

func TestUsersAreTheDomainsAndVolumesThatReferToAVolumeOfTheLayer(t *testing.T) {
	conn, key := testDriver(t), NewKey(t.Name())
	volume := key.Domain() + "-1-vda"
	l := publishTest(t, conn, key, volume)
	pool, err := conn.LookupStoragePoolByName("default-pool")
	require.NoError(t, err)
	defer pool.Free()
	for _, name := range []string{"namesake", volume + "-2"} { // of no layer
		made, err := pool.StorageVolCreateXML(`<volume><name>`+name+`</name><capacity>1048576</capacity><backingStore><path>/elsewhere/`+volume+`</path></backingStore></volume>`, 0)
		require.NoError(t, err)
		defer func() { _ = made.Delete(0); _ = made.Free() }()
	}
	users, err := Users(conn, []*Layer{l})
	require.NoError(t, err)
	assert.Empty(t, users[l.Name], "a volume of the same name in another folder is not the layer's")
	clone, err := conn.DomainDefineXML(`<domain type='test'><name>clone</name><memory>8192</memory><os><type>hvm</type></os><devices><disk type='file' device='disk'><source file='/default-pool/` + volume + `'/><target dev='vda'/></disk></devices></domain>`)
	require.NoError(t, err)
	defer func() { _ = clone.Undefine(); _ = clone.Free() }()
	made, err := pool.StorageVolCreateXML(`<volume><name>overlay</name><capacity>1048576</capacity><backingStore><path>/default-pool/`+volume+`</path></backingStore></volume>`, 0)
	require.NoError(t, err)
	defer func() { _ = made.Delete(0); _ = made.Free() }()
	users, err = Users(conn, []*Layer{l})
	require.NoError(t, err)
	assert.Equal(t, []string{"clone", "overlay"}, users[l.Name])
}

func TestALayerLacksAVolumeThatIsGone(t *testing.T) {
	conn, key := testDriver(t), NewKey(t.Name())
	volume := key.Domain() + "-1-vda"
	l := publishTest(t, conn, key, volume)
	require.NoError(t, l.CheckVolumes(conn))
	pool, err := conn.LookupStoragePoolByName("default-pool")
	require.NoError(t, err)
	defer pool.Free()
	require.NoError(t, pool.Destroy())
	stopped := l.CheckVolumes(conn)
	users, usersErr := Users(conn, []*Layer{l})
	require.NoError(t, pool.Create(0))
	require.NoError(t, usersErr)
	assert.Equal(t, []string{"pool default-pool (stopped)"}, users[l.Name], "it is kept")
	require.ErrorContains(t, stopped, "layer "+key.Domain())
	assert.False(t, storage.LacksVolume(stopped), "a pool that is stopped has its volumes")
	assert.True(t, storage.IsPoolStopped(stopped), stopped)

	require.NoError(t, storage.DeleteVolume(conn, "default-pool", volume))
	assert.True(t, storage.LacksVolume(l.CheckVolumes(conn)))
}
