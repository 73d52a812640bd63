package domainxml

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"libvirt.org/go/libvirtxml"
)

func metadataOf(inner string) *libvirtxml.DomainMetadata {
	return &libvirtxml.DomainMetadata{XML: inner}
}

// cloned is the definition of a clone of a base with these devices.
func cloned(t *testing.T, devices string) (*Clone, string) {
	t.Helper()
	c, err := planClone(base(t, fileDisk+devices), options{Label: "web", Cache: "unsafe", TPMDir: TPMDir("qemu:///system")})
	require.NoError(t, err)
	text, err := c.Definition.Marshal()
	require.NoError(t, err)
	return c, text
}

func TestPathsAndPortsOfCharacterDevicesAreReplaced(t *testing.T) {
	for name, test := range map[string]struct{ device, gone, there string }{
		"a serial port's file":       {`<serial type='file'><source path='/tmp/base.log'/><target port='0'/></serial>`, "/tmp/base.log", `<serial type="pty">`},
		"a serial port's socket":     {`<serial type='unix'><source mode='bind' path='/run/base.sock'/></serial>`, `"/run/base.sock"`, `path="/run/SHORT-base.sock"`},
		"a socket with a long path":  {`<serial type='unix'><source mode='bind' path='/var/lib/libvirt/qemu/channel/` + strings.Repeat("x", 50) + `/serial.sock'/></serial>`, "serial.sock", `<serial type="pty">`},
		"a serial port's TCP port":   {`<serial type='tcp'><source mode='bind' host='127.0.0.1' service='4555'/></serial>`, `"4555"`, `<serial type="pty">`},
		"a serial port's UDP port":   {`<serial type='udp'><source mode='bind' host='127.0.0.1' service='4556'/><source mode='connect' host='127.0.0.1' service='4557'/></serial>`, `"4556"`, `<serial type="pty">`},
		"a serial port's pipe":       {`<serial type='pipe'><source path='/tmp/mypipe'/></serial>`, "/tmp/mypipe", `<serial type="pty">`},
		"a serial port's log":        {`<serial type='pty'><log file='/var/log/base-serial.log' append='on'/></serial>`, "base-serial.log", `<serial type="pty">`},
		"a terminal's name":          {`<serial type='pty'><source path='/dev/pts/3'/></serial>`, "/dev/pts/3", `<serial type="pty">`},
		"a client's peer stays":      {`<serial type='tcp'><source mode='connect' host='logs' service='4555'/></serial>`, "pty", `service="4555"`},
		"a client's socket stays":    {`<serial type='unix'><source mode='connect' path='/run/collector.sock'/></serial>`, "pty", `path="/run/collector.sock"`},
		"a parallel port's file":     {`<parallel type='file'><source path='/tmp/printed'/></parallel>`, "/tmp/printed", `<parallel type="pty">`},
		"a console's file":           {`<console type='file'><source path='/tmp/console.log'/><target type='virtio'/></console>`, "/tmp/console.log", `<console type="pty">`},
		"the agent's channel":        {`<channel type='unix'><source mode='bind' path='/var/lib/libvirt/qemu/channel/base.agent'/><target type='virtio' name='org.qemu.guest_agent.0'/></channel>`, "base.agent", `name="org.qemu.guest_agent.0"`},
		"a fixed VNC port":           {`<graphics type='vnc' port='5907' autoport='no' websocket='5700' passwd='secret'/>`, `"5907"`, `autoport="yes"`},
		"a VNC socket":               {`<graphics type='vnc'><listen type='socket' socket='/tmp/base-vnc.sock'/></graphics>`, "base-vnc", `<listen type="socket"`},
		"fixed SPICE ports":          {`<graphics type='spice' port='5908' tlsPort='5909' autoport='no'/>`, `ort="590`, `autoport="yes"`},
		"a static vsock CID":         {`<vsock model='virtio'><cid auto='no' address='3'/></vsock>`, `address="3"`, `<cid auto="yes"`},
		"an entropy daemon's socket": {`<rng model='virtio'><backend model='egd' type='unix'><source mode='bind' path='/run/egd.sock'/></backend></rng>`, `"/run/egd.sock"`, `/run/SHORT-egd.sock`},
	} {
		t.Run(name, func(t *testing.T) {
			c, text := cloned(t, test.device)
			assert.NotContains(t, text, test.gone)
			assert.Contains(t, text, replaceName(test.there, c.shortName()))
		})
	}
}

func TestIdentityIsNotInherited(t *testing.T) {
	from := base(t, fileDisk)
	require.NoError(t, from.Unmarshal(`<domain type='kvm'><name>base</name><uuid>0f6a7f0e-58b5-4b9c-a4a4-0d2b6d2f4d11</uuid><genid>c2177883-f1bb-47f0-914d-32a22e3a8804</genid>
		<os><type>hvm</type></os><sysinfo type='smbios'><system><entry name='uuid'>0f6a7f0e-58b5-4b9c-a4a4-0d2b6d2f4d11</entry><entry name='serial'>S-1</entry></system></sysinfo>
		<devices>`+fileDisk+`<lease><lockspace>somearea</lockspace><key>somekey</key><target path='/some/lease/path'/></lease>
		<interface type='bridge'><source bridge='ovsbr'/><virtualport type='openvswitch'><parameters interfaceid='09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f' profileid='menial'/></virtualport></interface>
		</devices></domain>`))
	c, err := planClone(from, options{Label: "web", Cache: "unsafe"})
	require.NoError(t, err)
	text, err := c.Definition.Marshal()
	require.NoError(t, err)
	for _, gone := range []string{from.UUID, "c2177883", "somekey", "09b11c53"} {
		assert.NotContains(t, text, gone)
	}
	assert.Contains(t, text, "<genid></genid>", "libvirt makes a new one")
	assert.Contains(t, text, "S-1")
	assert.Contains(t, text, "menial")
}

func TestDisksKeepTheirOtherSettings(t *testing.T) {
	c, err := planClone(base(t, `<disk type='file' device='disk'>
		<driver name='qemu' type='qcow2' cache='none' io='native' discard='unmap' iothread='1' detect_zeroes='unmap'/>
		<source file='/images/base.qcow2' startupPolicy='optional'/>
		<backingStore type='file'><format type='raw'/><source file='/images/golden.img'/><backingStore/></backingStore>
		<target dev='sda' bus='scsi'/><shareable/><transient/><serial>S1</serial><wwn>5000c50015ea71aa</wwn><boot order='2'/>
		<address type='drive' controller='0' bus='0' target='3' unit='7'/></disk>`), options{Label: "web", Cache: "none"})
	require.NoError(t, err)
	c.Overlays[0].Backing = "/images/base.qcow2"
	assert.True(t, c.Overlays[0].Shareable)
	c.Overlays[0].SetPath("/images/overlay.qcow2")
	disk := c.Definition.Devices.Disks[0]
	assert.Equal(t, "none", disk.Driver.Cache, "as the configuration wants it")
	assert.Equal(t, "native", disk.Driver.IO, "which goes with that")
	assert.Equal(t, uint(1), *disk.Driver.IOThread)
	assert.Equal(t, "unmap", disk.Driver.DetectZeros)
	assert.Equal(t, "5000c50015ea71aa", disk.WWN)
	assert.Equal(t, uint(2), disk.Boot.Order)
	assert.Equal(t, uint(7), *disk.Address.Drive.Unit)
	assert.Nil(t, disk.Shareable)
	assert.Nil(t, disk.Transient)
	assert.Equal(t, "/images/overlay.qcow2", disk.Source.File.File)
	chain := disk.BackingStore
	require.NotNil(t, chain, "the base spells its chain out")
	assert.Equal(t, "/images/base.qcow2", chain.Source.File.File)
	assert.Equal(t, "qcow2", chain.Format.Type)
	assert.Equal(t, "/images/golden.img", chain.BackingStore.Source.File.File)
}

func TestTPMStateIsFoundByTheBasesUUID(t *testing.T) {
	c, text := cloned(t, `<tpm model='tpm-crb'><backend type='emulator' version='2.0' persistent_state='yes'/></tpm>`)
	assert.Equal(t, "/var/lib/libvirt/swtpm/0f6a7f0e-58b5-4b9c-a4a4-0d2b6d2f4d11/tpm2", c.BaseTPMDir)
	assert.NotContains(t, text, "persistent_state", "it goes with the clone")
	c, _ = cloned(t, `<tpm model='tpm-tis'><backend type='emulator' version='1.2'/></tpm>`)
	assert.Equal(t, "tpm1.2", c.BaseTPMDir[len(c.BaseTPMDir)-6:])
	c, _ = cloned(t, "")
	assert.Empty(t, c.BaseTPMDir)

	t.Setenv("XDG_CONFIG_HOME", "/home/me/.config")
	assert.Equal(t, "/home/me/.config/libvirt/qemu/swtpm", TPMDir("qemu:///session"))
	assert.Equal(t, "/var/lib/libvirt/swtpm", TPMDir("qemu+ssh://user@box/system"))
	assert.Empty(t, TPMDir("qemu+ssh://user@box/session"))
	_, err := planClone(base(t, fileDisk+`<tpm model='tpm-tis'><backend type='emulator'/></tpm>`), options{Label: "web", Cache: "unsafe"})
	require.ErrorContains(t, err, "has a TPM whose state is in a home folder on another machine")
}

func replaceName(pattern, short string) string { return strings.ReplaceAll(pattern, "SHORT", short) }

func TestSerialPortsAndConsolesWithATerminalAreConsoles(t *testing.T) {
	for devices, want := range map[string]bool{
		"":                     false,
		`<serial type='pty'/>`: true,
		`<serial type='file'><source path='/tmp/log'/></serial>`:                          true,
		`<serial type='tcp'><source mode='connect' host='logs' service='4555'/></serial>`: false,
		`<console type='pty'><target type='virtio'/></console>`:                           true,
		`<channel type='pty'><target type='virtio' name='org.example'/></channel>`:        false,
	} {
		c, _ := cloned(t, devices)
		assert.Equal(t, want, c.HasConsole(), devices)
	}
}
