package domainxml

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"libvirt.org/go/libvirtxml"
)

// booting returns a base with this <os>.
func booting(t *testing.T, os string) *libvirtxml.Domain {
	t.Helper()
	var domain libvirtxml.Domain
	require.NoError(t, domain.Unmarshal(`<domain type='kvm'><name>base</name>`+os+`<devices>`+fileDisk+`</devices></domain>`))
	return &domain
}

func TestFirmwareOfAnExplicitLoader(t *testing.T) {
	from := booting(t, `<os><type arch='x86_64' machine='q35'>hvm</type><loader readonly='yes' secure='yes' type='pflash'>/fw/CODE.fd</loader><nvram template='/fw/VARS.fd'>/nvram/base_VARS.fd</nvram></os>`)
	c, err := planClone(from, options{Label: "web", Cache: "unsafe"})
	require.NoError(t, err)
	require.NoError(t, c.PlanFirmware(nil))
	os := c.Definition.OS
	assert.Equal(t, "/fw/CODE.fd", os.Loader.Path)
	assert.Equal(t, "yes", os.Loader.Secure)
	assert.Equal(t, "/nvram/base_VARS.fd", os.NVRam.Template, "libvirt copies the base's variables")
	assert.Empty(t, os.NVRam.NVRam, "to a file of the clone's own")
	assert.Equal(t, "on", c.Definition.Features.SMM.State)
	assert.True(t, c.NeedsDefinition())

	c.BootFromTemplate()
	assert.Equal(t, "/fw/VARS.fd", c.Definition.OS.NVRam.Template, "a base that was never started has none")
	assert.Empty(t, c.Definition.OS.NVRam.NVRam)
}

func TestFirmwareWithoutVariables(t *testing.T) {
	for name, os := range map[string]string{
		"BIOS":           `<os><type>hvm</type></os>`,
		"a ROM":          `<os><type>hvm</type><loader type='rom'>/fw/bios.bin</loader></os>`,
		"stateless UEFI": `<os firmware='efi'><type>hvm</type><loader stateless='yes'/></os>`,
	} {
		t.Run(name, func(t *testing.T) {
			from := booting(t, os)
			c, err := planClone(from, options{Label: "web", Cache: "unsafe"})
			require.NoError(t, err)
			require.NoError(t, c.PlanFirmware(nil))
			assert.False(t, c.NeedsDefinition())
		})
	}
}

func TestFirmwareThatCannotBeCopiedIsAnError(t *testing.T) {
	for name, test := range map[string]struct{ os, want string }{
		"a loader that is written to":  {`<os><type>hvm</type><loader readonly='no' type='pflash'>/fw/OVMF.fd</loader></os>`, "boots from a writable firmware file"},
		"variables on another machine": {`<os><type>hvm</type><loader readonly='yes' type='pflash'>/fw/CODE.fd</loader><nvram type='network'><source protocol='iscsi' name='iqn.2013-07.com.example:iscsi-nopool/0'><host name='example.com' port='6000'/></source></nvram></os>`, "does not keep its UEFI variables in a file"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := firmwareOf(nil, booting(t, test.os))
			require.ErrorContains(t, err, test.want)
		})
	}
}

func TestFirmwareThatLibvirtSelects(t *testing.T) {
	const native = `/usr/bin/qemu-system-x86_64 -blockdev '{"driver":"file","filename":"/usr/share/OVMF/OVMF_CODE_4M.ms.fd","node-name":"libvirt-pflash0-storage","auto-read-only":true}' ` +
		`-blockdev '{"node-name":"libvirt-pflash0-format","read-only":true,"driver":"raw","file":"libvirt-pflash0-storage"}' ` +
		`-blockdev '{"driver":"file","filename":"/var/lib/libvirt/qemu/nvram/base_VARS.fd","node-name":"libvirt-pflash1-storage"}' ` +
		`-machine q35,smm=on,pflash0=libvirt-pflash0-format `
	found, err := nativeFirmware(native + `-global driver=cfi.pflash01,property=secure,value=on`)
	require.NoError(t, err)
	assert.Equal(t, firmware{loader: "/usr/share/OVMF/OVMF_CODE_4M.ms.fd", nvram: "/var/lib/libvirt/qemu/nvram/base_VARS.fd", secure: true}, *found)
	found, err = nativeFirmware(native)
	require.NoError(t, err)
	assert.False(t, found.secure)
	_, err = nativeFirmware("/usr/bin/qemu-system-x86_64")
	require.ErrorContains(t, err, "libvirt does not name it")
}
