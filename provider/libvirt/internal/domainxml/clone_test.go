package domainxml

import (
	"strings"
	"testing"
	"time"

	"github.com/overcast-go/overcast/provider/libvirt/internal/owner"
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

// options are the parameters of planClone.
type options struct {
	Label, Network, Cache, TPMDir string
	Bridges                       Bridges
}

// planClone plans a clone, except its firmware.
func planClone(base *libvirtxml.Domain, o options) (*Clone, error) {
	c, err := NewClone(base, o.Label)
	if err != nil {
		return nil, err
	}
	if err := c.PlanDisks(o.Cache); err != nil {
		return nil, err
	}
	if err := c.PlanInterfaces(o.Network, o.Bridges); err != nil {
		return nil, err
	}
	return c, c.PlanTPM(o.TPMDir)
}

const (
	fileDisk  = `<disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none' io='native' discard='unmap'/><source file='/images/base.qcow2'/><target dev='vda' bus='virtio'/><serial>S1</serial><boot order='1'/></disk>`
	blockDisk = `<disk type='block' device='disk'><source dev='/dev/vg/data'/><target dev='vdb'/></disk>`
	cdrom     = `<disk type='file' device='cdrom'><source file='/images/install.iso'/><target dev='sda'/><readonly/></disk>`
	onNetwork = `<interface type='network'><mac address='52:54:00:aa:aa:aa'/><source network='my_nat_network'/><target dev='vnet7'/></interface>`
	onBridge  = `<interface type='bridge'><mac address='52:54:00:bb:bb:bb'/><source bridge='br0'/></interface>`
)

func TestCloneHasANewIdentity(t *testing.T) {
	from := base(t, fileDisk+onNetwork)
	one, err := planClone(from, options{Label: "web server/1", Network: "my_nat_network", Cache: "unsafe"})
	require.NoError(t, err)
	two, err := planClone(from, options{Label: "web server/1", Network: "my_nat_network", Cache: "unsafe"})
	require.NoError(t, err)
	assert.Regexp(t, `^overcast-web_server_1-[0-9a-f]{16}-[0-9]+-[0-9]+-[0-9a-f]{8}$`, one.Name)
	assert.Equal(t, one.Name, one.Definition.Name)
	assert.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, one.Definition.UUID)
	assert.NotEqual(t, one.Definition.UUID, two.Definition.UUID)
	assert.NotEqual(t, one.Name, two.Name)
	assert.NotEqual(t, one.MAC.String(), two.MAC.String())
	assert.Equal(t, "52:54:00", one.MAC.String()[:8])
	assert.Equal(t, one.MAC.String(), one.Definition.Devices.Interfaces[0].MAC.Address)
	assert.Nil(t, one.Definition.Devices.Interfaces[0].Target)
	assert.Equal(t, "base", from.Name, "the base's definition stays as it is")
	assert.Equal(t, "52:54:00:aa:aa:aa", from.Devices.Interfaces[0].MAC.Address)
	assert.Equal(t, "/images/base.qcow2", from.Devices.Disks[0].Source.File.File)
}

func TestCloneWritesToOverlays(t *testing.T) {
	c, err := planClone(base(t, fileDisk+blockDisk+cdrom+onNetwork), options{Label: "web", Network: "", Cache: "unsafe"})
	require.NoError(t, err)
	require.Len(t, c.Overlays, 2)
	assert.Equal(t, c.Name+"-vda.qcow2", c.Overlays[0].Volume)
	assert.Equal(t, "qcow2", c.Overlays[0].Format)
	assert.Equal(t, "raw", c.Overlays[1].Format, "libvirt's default")
	assert.Equal(t, "/dev/vg/data", c.Overlays[1].Source.Block.Dev)

	for n := range c.Overlays {
		c.Overlays[n].SetPath("/images/" + c.Overlays[n].Volume)
	}
	text, err := c.Definition.Marshal()
	require.NoError(t, err)
	assert.NotContains(t, text, "/images/base.qcow2")
	assert.NotContains(t, text, "/dev/vg/data")
	assert.Contains(t, text, "/images/install.iso", "read-only disks are shared")
	assert.Contains(t, text, "/images/"+c.Name+"-vda.qcow2")
	disk := c.Definition.Devices.Disks[0]
	assert.Equal(t, "unsafe", disk.Driver.Cache)
	assert.Empty(t, disk.Driver.IO)
	assert.Equal(t, "unmap", disk.Driver.Discard)
	assert.Equal(t, "S1", disk.Serial)
	assert.Equal(t, uint(1), disk.Boot.Order)
	assert.Equal(t, 2, strings.Count(text, `type="qcow2"`))
}

func TestAddressIsLookedUpOnTheInterfaceOfTheNamedNetwork(t *testing.T) {
	for name, test := range map[string]struct {
		devices, network string
		want             int // the interface that is picked
	}{
		"the only one":            {onNetwork, "", 0},
		"by its network":          {onBridge + onNetwork, "my_nat_network", 1},
		"by its bridge":           {onBridge + onNetwork, "br0", 0},
		"with a port group":       {`<interface type='network'><source network='my_nat_network' portgroup='a'/></interface>`, "my_nat_network", 0},
		"by its network's bridge": {`<interface type='bridge'><source bridge='br7'/></interface>` + onNetwork, "virbr0", 1},
		"by its bridge's network": {`<interface type='bridge'><source bridge='virbr1'/></interface>` + onNetwork, "my_routed_network", 0},
		"by its port group":       {`<interface type='network'><source network='ovs' portgroup='red'/></interface><interface type='network'><source network='ovs' portgroup='blue'/></interface>`, "ovs/blue", 1},
		"directly attached":       {onBridge + `<interface type='direct'><source dev='eno1' mode='bridge'/></interface>`, "eno1", 1},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := planClone(base(t, fileDisk+test.devices), options{Label: "web", Network: test.network, Cache: "unsafe", Bridges: Bridges{"my_nat_network": "virbr0", "my_routed_network": "virbr1"}})
			require.NoError(t, err)
			assert.Equal(t, c.Definition.Devices.Interfaces[test.want].MAC.Address, c.MAC.String())
		})
	}
}

func TestBaseThatCannotBeClonedIsAnErrorWithTheReason(t *testing.T) {
	for name, test := range map[string]struct{ devices, network, want string }{
		"no disks":                {onNetwork, "", `base domain "base" has no disks to clone`},
		"only a cdrom":            {cdrom + onNetwork, "", `base domain "base" has no disks to clone`},
		"a disk from the network": {`<disk type='network' device='disk'><source protocol='rbd' name='pool/image'/><target dev='vda'/></disk>`, "", `base domain "base": disk vda is on another machine (rbd)`},
		"a disk without a source": {`<disk type='file' device='disk'><target dev='vda'/></disk>`, "", `disk vda has no source`},
		"a folder":                {`<disk type='dir' device='disk'><source dir='/srv'/><target dev='vda'/></disk>`, "", `disk vda is neither a file, a volume nor a block device`},
		"an encrypted disk":       {`<disk type='file' device='disk'><source file='/images/base.img'><encryption format='luks'><secret type='passphrase' uuid='0f6a7f0e-58b5-4b9c-a4a4-0d2b6d2f4d11'/></encryption></source><target dev='vda'/></disk>`, "", `disk vda is encrypted`},
		"a slice of a disk":       {`<disk type='file' device='disk'><source file='/images/base.img'><slices><slice type='storage' offset='12345' size='123'/></slices></source><target dev='vda'/></disk>`, "", `disk vda is a slice`},
		"a PCI device":            {fileDisk + `<hostdev mode='subsystem' type='pci'><source><address domain='0' bus='6' slot='2' function='0'/></source></hostdev>`, "", `has a PCI device of the hypervisor's machine passed through`},
		"a USB device":            {fileDisk + `<hostdev mode='subsystem' type='usb'><source><vendor id='0x1234'/><product id='0xbeef'/></source></hostdev>`, "", `has a USB device of the hypervisor's machine passed through`},
		"a mediated device":       {fileDisk + `<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source><address uuid='c2177883-f1bb-47f0-914d-32a22e3a8804'/></source></hostdev>`, "", `has a mediated device of`},
		"a SCSI device":           {fileDisk + `<hostdev mode='subsystem' type='scsi'><source><adapter name='scsi_host0'/><address bus='0' target='0' unit='0'/></source></hostdev>`, "", `has a SCSI device of`},
		"a network device":        {fileDisk + `<interface type='hostdev'><source><address type='pci' domain='0' bus='0' slot='7' function='0'/></source></interface>`, "", `has a network device of the hypervisor's machine passed through`},
		"a vhost-user socket":     {fileDisk + `<interface type='vhostuser'><source type='unix' path='/tmp/vhost1.sock' mode='server'/></interface>`, "", `<interface type='vhostuser'>`},
		"a port to listen on":     {fileDisk + `<interface type='server'><source address='192.168.0.1' port='5558'/></interface>`, "", `listens on a port of its own`},
		"a whole device":          {fileDisk + `<interface type='direct'><source dev='eth0' mode='passthrough'/></interface>`, "", `has eth0 passed through`},
		"a TPM of the machine":    {fileDisk + `<tpm model='tpm-tis'><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>`, "", `has a TPM that is passed through`},
		"a smart card reader":     {fileDisk + `<smartcard mode='host'/>`, "", `has a smart card reader`},
		"a writable NVDIMM":       {fileDisk + `<memory model='nvdimm'><source><path>/images/nvdimm</path></source><target><size unit='MiB'>64</size><node>0</node></target></memory>`, "", `has a memory device (nvdimm) whose file /images/nvdimm`},
		"a LUN":                   {`<disk type='block' device='lun'><source dev='/dev/sdb'/><target dev='sdb' bus='scsi'/></disk>`, "", `disk sdb is a LUN that is passed through`},
		"a misspelt network":      {fileDisk + onNetwork + onBridge, "my_nat_netwrok", `base domain "base" has no interface on "my_nat_netwrok", did you mean "my_nat_network"? (it is on my_nat_network, br0): check networkDeviceId`},
		"another network":         {fileDisk + onNetwork + onBridge, "br1", `base domain "base" has no interface on "br1", did you mean "br0"? (it is on my_nat_network, br0): check networkDeviceId`},
		"none of two":             {fileDisk + onNetwork + onBridge, "", `has 2 interfaces (on my_nat_network, br0): set networkDeviceId to one of them`},
		"both of two":             {fileDisk + onNetwork + onNetwork, "my_nat_network", `has 2 interfaces on "my_nat_network"`},
		"no interface":            {fileDisk, "br0", `has no network interface`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := planClone(base(t, test.devices), options{Label: "web", Network: test.network, Cache: "unsafe"})
			require.Error(t, err)
			assert.Contains(t, err.Error(), test.want)
		})
	}
}

func TestCloneSharesAFloppyReadOnly(t *testing.T) {
	c, err := planClone(base(t, fileDisk+`<disk type='file' device='floppy'><source file='/images/floppy.img'/><target dev='fda'/></disk>`), options{Label: "web", Network: "", Cache: "unsafe"})
	require.NoError(t, err)
	assert.Len(t, c.Overlays, 1)
	assert.NotNil(t, c.Definition.Devices.Disks[1].ReadOnly)
}

func TestMetadataOfOtherProgramsIsInherited(t *testing.T) {
	const os = `<libosinfo:libosinfo xmlns:libosinfo="http://libosinfo.org/xmlns/libvirt/domain/1.0"><libosinfo:os id="http://debian.org/debian/12"/></libosinfo:libosinfo>`
	const java = `<overcast_metadata xmlns="http://www.xebialabs.com/overcast/metadata/v1"><parent_domain>centos6</parent_domain><provisioned_with>/mnt/Vagrantfile</provisioned_with><creation_time>2014-10-31T15:07:38Z</creation_time></overcast_metadata>`
	from := base(t, fileDisk)
	from.Metadata = metadataOf("\n  " + os + "\n  " + java + owner.NewMetadata("x", "y", "z", time.Minute).XML())
	c, err := planClone(from, options{Label: "web", Cache: "unsafe"})
	require.NoError(t, err)
	c.SetMetadata("<replaced/>")
	c.SetMetadata(owner.NewMetadata(c.Name, "base", "web", time.Minute).XML())
	assert.Contains(t, c.Definition.Metadata.XML, os)
	assert.NotContains(t, c.Definition.Metadata.XML, "replaced")
	assert.NotContains(t, c.Definition.Metadata.XML, "centos6", "the clone was not made by Overcast for Java")
	assert.Equal(t, 1, strings.Count(c.Definition.Metadata.XML, owner.MetadataNamespace))
	require.NotNil(t, owner.ParseMetadata(c.Name, c.Definition.Metadata.XML))

	found := owner.ParseJavaMetadata(from.Metadata.XML)
	require.NotNil(t, found)
	assert.Equal(t, owner.JavaMetadata{Parent: "centos6", Provisioned: "/mnt/Vagrantfile", Created: "2014-10-31T15:07:38Z"}, *found)
	assert.Nil(t, owner.ParseJavaMetadata(os))
}
