package domainxml

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// nvram is the file with the UEFI variables of a base domain. libvirt copies it to the
// clone's file when it starts the clone.
type nvram struct {
	path string // of the base's file
	// fromTemplate is how the clone boots if the base has no such file yet because it
	// was never started; nil once that is in use.
	fromTemplate *libvirtxml.DomainOS
}

// firmware is the firmware that a domain boots from.
type firmware struct {
	loader, nvram string // paths
	format        string // of the variables; "" is raw
	secure        bool   // only code in system management mode may write the variables
}

// PlanFirmware plans a copy of the UEFI variables, if the base boots from UEFI.
func (c *Clone) PlanFirmware(conn *libvirt.Connect) error {
	base := c.base
	found, err := firmwareOf(conn, base)
	if err != nil || found == nil {
		return err
	}
	d := c.Definition
	fresh := *d.OS
	if fresh.NVRam != nil {
		fresh.NVRam = &libvirtxml.DomainNVRam{Template: fresh.NVRam.Template, TemplateFormat: fresh.NVRam.TemplateFormat, Format: fresh.NVRam.Format}
	}
	c.nvram = &nvram{path: found.nvram, fromTemplate: &fresh}
	// The loader must be explicit: libvirt accepts no variables for a loader that it
	// selects itself.
	d.OS.Firmware, d.OS.FirmwareInfo = "", nil
	d.OS.Loader = &libvirtxml.DomainLoader{Path: found.loader, Readonly: "yes", Type: "pflash"}
	d.OS.NVRam = &libvirtxml.DomainNVRam{Template: found.nvram, Format: found.format, TemplateFormat: found.format}
	if base.OS.Loader != nil {
		d.OS.Loader.Format = base.OS.Loader.Format
	}
	if found.secure {
		d.OS.Loader.Secure = "yes"
		if d.Features == nil {
			d.Features = &libvirtxml.DomainFeatureList{}
		}
		if d.Features.SMM == nil {
			d.Features.SMM = &libvirtxml.DomainFeatureSMM{State: "on"}
		}
	}
	return nil
}

// firmwareOf returns the firmware of a domain, or nil if it has no UEFI variables.
func firmwareOf(conn *libvirt.Connect, base *libvirtxml.Domain) (*firmware, error) {
	os := base.OS
	switch {
	case os == nil || (os.Firmware != "efi" && (os.Loader == nil || os.Loader.Type != "pflash")):
		return nil, nil
	case os.Loader != nil && os.Loader.Type == "pflash" && os.Loader.Readonly != "yes" && os.Loader.Path != "":
		return nil, fmt.Errorf("base domain %q boots from a writable firmware file, which its clones would write to: make the loader read-only, with a separate <nvram>", base.Name)
	case os.Loader != nil && os.Loader.Stateless == "yes":
		return nil, nil
	}
	if found, err := explicitFirmware(base); err != nil || found != nil {
		return found, err
	}
	text, err := base.Marshal()
	if err != nil {
		return nil, fmt.Errorf("reading the definition of base domain %q: %w", base.Name, err)
	}
	// Only libvirt knows what it would select.
	native, err := conn.DomainXMLToNative("qemu-argv", text, 0)
	if err != nil {
		return nil, fmt.Errorf("determining the firmware of base domain %q: %w", base.Name, virt.StripCodes(err))
	}
	found, err := nativeFirmware(native)
	if err != nil {
		return nil, fmt.Errorf("determining the firmware of base domain %q: %w", base.Name, err)
	}
	return found, nil
}

// explicitFirmware returns the firmware if the definition names all of it, or nil.
func explicitFirmware(base *libvirtxml.Domain) (*firmware, error) {
	loader, nvram := base.OS.Loader, base.OS.NVRam
	if loader == nil || loader.Path == "" || nvram == nil {
		return nil, nil
	}
	path := strings.TrimSpace(nvram.NVRam)
	if nvram.Source != nil {
		if nvram.Source.File == nil {
			return nil, fmt.Errorf("base domain %q does not keep its UEFI variables in a file, so they cannot be copied: keep them in a file", base.Name)
		}
		path = nvram.Source.File.File
	}
	if path == "" {
		return nil, nil
	}
	format := nvram.Format
	if format == "raw" {
		format = ""
	}
	return &firmware{loader: strings.TrimSpace(loader.Path), nvram: path, format: format, secure: loader.Secure == "yes"}, nil
}

var (
	pflashNode   = regexp.MustCompile(`\{[^{}]*"node-name":"libvirt-pflash[01]-storage"[^{}]*\}`)
	securePFlash = regexp.MustCompile(`cfi\.pflash01[^ ]*property=secure[^ ]*value=(on|true)`)
)

// nativeFirmware reads the firmware from the command line that libvirt generates for
// QEMU: the first flash device has the code, the second the variables.
func nativeFirmware(native string) (*firmware, error) {
	paths := map[string]string{}
	for _, text := range pflashNode.FindAllString(native, -1) {
		var node struct {
			Name string `json:"node-name"`
			File string `json:"filename"`
		}
		if err := json.Unmarshal([]byte(text), &node); err != nil {
			return nil, err
		}
		paths[node.Name] = node.File
	}
	found := &firmware{loader: paths["libvirt-pflash0-storage"], nvram: paths["libvirt-pflash1-storage"], secure: securePFlash.MatchString(native)}
	switch {
	case found.loader == "" && found.nvram == "":
		return nil, errors.New("libvirt does not name it: name it in the base's definition (<loader> and <nvram>)")
	case found.nvram == "":
		return nil, nil
	}
	return found, nil
}

// IsMissingNVRAM reports whether a clone did not start because the base has no file
// with UEFI variables yet. Only the path in libvirt's message shows that.
func (c *Clone) IsMissingNVRAM(err error) bool {
	return c.nvram != nil && c.nvram.fromTemplate != nil && virt.IsCode(err, libvirt.ERR_SYSTEM_ERROR) && strings.Contains(err.Error(), c.nvram.path)
}

// NVRAMSource returns the path of the file with the base's UEFI variables, or "".
func (c *Clone) NVRAMSource() string {
	if c.nvram == nil {
		return ""
	}
	return c.nvram.path
}

// BootFromTemplate makes the clone boot from new UEFI variables, as the base does if it
// was never started.
func (c *Clone) BootFromTemplate() {
	c.Definition.OS, c.nvram.fromTemplate = c.nvram.fromTemplate, nil
}
