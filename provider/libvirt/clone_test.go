package libvirt

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"libvirt.org/go/libvirtxml"
)

// base parses the definition of a base domain, with these devices.
func base(t *testing.T, devices string) *libvirtxml.Domain {
	t.Helper()
	var domain libvirtxml.Domain
	require.NoError(t, domain.Unmarshal(`<domain type='kvm'><name>base</name><uuid>0f6a7f0e-58b5-4b9c-a4a4-0d2b6d2f4d11</uuid>
		<title>Base</title><memory unit='MiB'>64</memory><os><type arch='x86_64'>hvm</type></os>
		<devices>`+devices+`</devices></domain>`))
	return &domain
}

const (
	fileDisk  = `<disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none' io='native' discard='unmap'/><source file='/images/base.qcow2'/><target dev='vda' bus='virtio'/><serial>S1</serial><boot order='1'/></disk>`
	blockDisk = `<disk type='block' device='disk'><source dev='/dev/vg/data'/><target dev='vdb'/></disk>`
	cdrom     = `<disk type='file' device='cdrom'><source file='/images/install.iso'/><target dev='sda'/><readonly/></disk>`
	onNetwork = `<interface type='network'><mac address='52:54:00:aa:aa:aa'/><source network='my_nat_network'/><target dev='vnet7'/></interface>`
	onBridge  = `<interface type='bridge'><mac address='52:54:00:bb:bb:bb'/><source bridge='br0'/></interface>`
)

func TestCloneHasAnIdentityOfItsOwn(t *testing.T) {
	from := base(t, fileDisk+onNetwork)
	one, err := planClone(from, "web server/1", "my_nat_network")
	require.NoError(t, err)
	two, err := planClone(from, "web server/1", "my_nat_network")
	require.NoError(t, err)
	assert.Regexp(t, `^overcast-web_server_1-[0-9a-f]{8}$`, one.name)
	assert.Equal(t, one.name, one.definition.Name)
	assert.Empty(t, one.definition.UUID, "libvirt makes a fresh one")
	assert.NotEqual(t, one.name, two.name)
	assert.NotEqual(t, one.mac.String(), two.mac.String())
	assert.Equal(t, "52:54:00", one.mac.String()[:8])
	assert.Equal(t, one.mac.String(), one.definition.Devices.Interfaces[0].MAC.Address)
	assert.Nil(t, one.definition.Devices.Interfaces[0].Target)
	assert.Contains(t, one.definition.Metadata.XML, "<overcast:parent>base</overcast:parent>")
	assert.Contains(t, one.definition.Metadata.XML, "<overcast:label>web server/1</overcast:label>")
	host, err := os.Hostname()
	require.NoError(t, err)
	assert.Contains(t, one.definition.Metadata.XML, "<overcast:host>"+host+"</overcast:host>")

	assert.Equal(t, "base", from.Name, "the base's definition stays as it is")
	assert.Equal(t, "52:54:00:aa:aa:aa", from.Devices.Interfaces[0].MAC.Address)
	assert.Equal(t, "/images/base.qcow2", from.Devices.Disks[0].Source.File.File)
}

func TestCloneWritesToOverlays(t *testing.T) {
	c, err := planClone(base(t, fileDisk+blockDisk+cdrom+onNetwork), "web", "")
	require.NoError(t, err)
	require.Len(t, c.overlays, 2)
	assert.Equal(t, c.name+"-vda.qcow2", c.overlays[0].volume)
	assert.Equal(t, "qcow2", c.overlays[0].format)
	assert.Equal(t, "raw", c.overlays[1].format, "libvirt's default")
	assert.Equal(t, "/dev/vg/data", c.overlays[1].source.Block.Dev)

	for n := range c.overlays {
		c.overlays[n].place("/images/" + c.overlays[n].volume)
	}
	text, err := c.definition.Marshal()
	require.NoError(t, err)
	assert.NotContains(t, text, "/images/base.qcow2")
	assert.NotContains(t, text, "/dev/vg/data")
	assert.Contains(t, text, "/images/install.iso", "what nobody writes to is shared")
	assert.Contains(t, text, "/images/"+c.name+"-vda.qcow2")
	disk := c.definition.Devices.Disks[0]
	assert.Equal(t, "unsafe", disk.Driver.Cache)
	assert.Empty(t, disk.Driver.IO)
	assert.Equal(t, "unmap", disk.Driver.Discard)
	assert.Equal(t, "S1", disk.Serial)
	assert.Equal(t, uint(1), disk.Boot.Order)
	assert.Equal(t, 2, strings.Count(text, `type="qcow2"`))
}

func TestCloneIsLookedUpOnTheNetworkThatIsNamed(t *testing.T) {
	for name, test := range map[string]struct {
		devices, network string
		want             int // the interface that is picked
	}{
		"the only one":      {onNetwork, "", 0},
		"by its network":    {onBridge + onNetwork, "my_nat_network", 1},
		"by its bridge":     {onBridge + onNetwork, "br0", 0},
		"with a port group": {`<interface type='network'><source network='my_nat_network' portgroup='a'/></interface>`, "my_nat_network", 0},
		"directly attached": {onBridge + `<interface type='direct'><source dev='eno1' mode='bridge'/></interface>`, "eno1", 1},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := planClone(base(t, fileDisk+test.devices), "web", test.network)
			require.NoError(t, err)
			assert.Equal(t, c.definition.Devices.Interfaces[test.want].MAC.Address, c.mac.String())
		})
	}
}

func TestCloneIsRefusedWithTheReason(t *testing.T) {
	for name, test := range map[string]struct{ devices, network, want string }{
		"no disks":                {onNetwork, "", `base domain "base" has no disks to clone`},
		"only a cdrom":            {cdrom + onNetwork, "", `base domain "base" has no disks to clone`},
		"a disk from the network": {`<disk type='network' device='disk'><source protocol='rbd' name='pool/image'/><target dev='vda'/></disk>`, "", `base domain "base": disk vda is neither a file, a volume nor a block device`},
		"a disk without a source": {`<disk type='file' device='disk'><target dev='vda'/></disk>`, "", `disk vda has no source`},
		"a LUN":                   {`<disk type='block' device='lun'><source dev='/dev/sdb'/><target dev='sdb' bus='scsi'/></disk>`, "", `disk sdb is a LUN that is passed through`},
		"another network":         {fileDisk + onNetwork + onBridge, "br1", `base domain "base" has no interface on "br1" (networkDeviceId), only on my_nat_network, br0`},
		"none of two":             {fileDisk + onNetwork + onBridge, "", `has 2 interfaces (on my_nat_network, br0): say which one by networkDeviceId`},
		"both of two":             {fileDisk + onNetwork + onNetwork, "my_nat_network", `has 2 interfaces on "my_nat_network"`},
		"no interface":            {fileDisk, "br0", `has no network interface`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := planClone(base(t, test.devices), "web", test.network)
			require.Error(t, err)
			assert.Contains(t, err.Error(), test.want)
		})
	}
}

func TestCloneOfUEFIVariablesIsRefused(t *testing.T) {
	from := base(t, fileDisk+onNetwork)
	from.OS.NVRam = &libvirtxml.DomainNVRam{NVRam: "/var/lib/libvirt/qemu/nvram/base_VARS.fd"}
	_, err := planClone(from, "web", "")
	require.Error(t, err)
	assert.Contains(t, err.Error(), `base domain "base" has UEFI variables of its own (nvram)`)
}

func TestCloneSharesAFloppyWithoutWritingToIt(t *testing.T) {
	c, err := planClone(base(t, fileDisk+`<disk type='file' device='floppy'><source file='/images/floppy.img'/><target dev='fda'/></disk>`), "web", "")
	require.NoError(t, err)
	assert.Len(t, c.overlays, 1)
	assert.NotNil(t, c.definition.Devices.Disks[1].ReadOnly)
}

func TestNameOfAVeryLongLabel(t *testing.T) {
	assert.Len(t, newName(strings.Repeat("long", 100)), len(NamePrefix)+longestLabel+len("-12345678"))
}
