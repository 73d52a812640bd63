package layers

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/overcast-go/overcast/provider/libvirt/internal/domainxml"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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

func TestUsersReferToAVolumeOfTheLayer(t *testing.T) {
	volumes := map[string]string{"overcast-layer-1-image.qcow2": "default"}
	texts := map[string]string{
		"overcast-layer-1":             "overcast-layer-1-image.qcow2",
		"overcast-layer-1-image.qcow2": "overcast-layer-1-image.qcow2",
		"clone":                        strings.Repeat("/images/overcast-layer-1-image.qcow2 ", 2),
		"other":                        "/images/other.qcow2",
	}
	assert.Equal(t, []string{"clone"}, usersIn(texts, "overcast-layer-1", volumes))
}
