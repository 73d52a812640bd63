package domainxml

import (
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
)

// TPMDir returns the folder in which libvirt keeps the state of emulated TPMs, in a
// folder for the UUID of each domain (swtpm_storage_dir of libvirt's build, the same on
// Debian and Fedora). It is "" for a user session on another machine.
func TPMDir(hypervisor string) string {
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

// PlanTPM plans the copy of the state of an emulated TPM. dir is the [TPMDir] of the
// hypervisor.
func (c *Clone) PlanTPM(dir string) error {
	for i := range c.Definition.Devices.TPMs {
		backend := c.Definition.Devices.TPMs[i].Backend
		if backend == nil || backend.Emulator == nil {
			continue
		}
		if dir == "" {
			return fmt.Errorf("base domain %q has a TPM whose state is in a home folder on another machine, from which it cannot be copied: use qemu:///system there", c.base.Name)
		}
		c.BaseTPMDir = path.Join(dir, c.base.UUID, tpmVersionDir(backend.Emulator.Version))
		c.TPMDir = path.Join(dir, c.UUID, path.Base(c.BaseTPMDir))
		if s := backend.Emulator.Source; s != nil && s.Dir != nil {
			c.BaseTPMDir = s.Dir.Path
		}
		// libvirt removes the clone's state with the clone if it is in the default place.
		backend.Emulator.Source, backend.Emulator.PersistentState = nil, ""
	}
	return nil
}

func tpmVersionDir(version string) string {
	if version == "1.2" {
		return "tpm1.2"
	}
	return "tpm2"
}
