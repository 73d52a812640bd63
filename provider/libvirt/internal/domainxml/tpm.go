package domainxml

import (
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"

	"libvirt.org/go/libvirtxml"
)

// tpmFolder is where libvirt keeps the state of emulated TPMs, in a folder for
// each domain's UUID (swtpm_storage_dir of its build; Debian and Fedora have the
// same). It is "" for somebody's session on another machine.
func TpmFolder(hypervisor string) string {
	at, err := url.Parse(hypervisor)
	if err != nil || at.Path != "/session" {
		return "/var/lib/libvirt/swtpm"
	}
	config, err := os.UserConfigDir()
	if at.Host != "" || err != nil {
		return ""
	}
	return filepath.Join(config, "libvirt/qemu/swtpm")
}

// planTPM notes which folder of the base's TPM state is to be copied.
func (c *Clone) planTPM(base *libvirtxml.Domain, folder string) error {
	for i := range c.Definition.Devices.TPMs {
		backend := c.Definition.Devices.TPMs[i].Backend
		if backend == nil || backend.Emulator == nil {
			continue
		}
		if folder == "" {
			return fmt.Errorf("base domain %q has a TPM whose state is in somebody's home on another machine, where it cannot be copied from: use qemu:///system there", base.Name)
		}
		c.TPM = path.Join(folder, base.UUID, tpmVersionFolder(backend.Emulator.Version))
		c.OwnTPM = path.Join(folder, c.UUID, path.Base(c.TPM))
		if s := backend.Emulator.Source; s != nil && s.Dir != nil {
			c.TPM = s.Dir.Path
		}
		// The clone's state lies where libvirt puts it, and goes with the clone.
		backend.Emulator.Source, backend.Emulator.PersistentState = nil, ""
	}
	return nil
}

func tpmVersionFolder(version string) string {
	if version == "1.2" {
		return "tpm1.2"
	}
	return "tpm2"
}
