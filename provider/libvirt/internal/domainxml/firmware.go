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

// variables are where a base domain keeps its UEFI variables (NVRAM). libvirt
// makes the clone's file as a copy of the base's when it starts the clone.
type variables struct {
	path string // of the base's file
	// fresh is how the clone boots when the base has no such file yet, because
	// it was never started.
	fresh *libvirtxml.DomainOS
}

// firmware is what a domain boots by, found out of its definition.
type firmware struct {
	loader, variables string // paths
	format            string // of the variables; "" is raw
	secure            bool   // only code in system management mode may write to them
}

// planFirmware gives the clone of a base that boots by UEFI variables of its
// own, a copy of the base's.
func (c *Clone) PlanFirmware(conn *libvirt.Connect, base *libvirtxml.Domain) error {
	found, err := firmwareOf(conn, base)
	if err != nil || found == nil {
		return err
	}
	d := c.Definition
	fresh := *d.OS
	if fresh.NVRam != nil {
		fresh.NVRam = &libvirtxml.DomainNVRam{Template: fresh.NVRam.Template, TemplateFormat: fresh.NVRam.TemplateFormat, Format: fresh.NVRam.Format}
	}
	c.boot = &variables{path: found.variables, fresh: &fresh}
	// What libvirt would select by itself is named: it takes no variables for
	// a loader that it selects.
	d.OS.Firmware, d.OS.FirmwareInfo = "", nil
	d.OS.Loader = &libvirtxml.DomainLoader{Path: found.loader, Readonly: "yes", Type: "pflash"}
	d.OS.NVRam = &libvirtxml.DomainNVRam{Template: found.variables, Format: found.format, TemplateFormat: found.format}
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

// firmwareOf answers with nil for a domain that has no variables of its own.
func firmwareOf(conn *libvirt.Connect, base *libvirtxml.Domain) (*firmware, error) {
	os := base.OS
	switch {
	case os == nil || (os.Firmware != "efi" && (os.Loader == nil || os.Loader.Type != "pflash")):
		return nil, nil
	case os.Loader != nil && os.Loader.Type == "pflash" && os.Loader.Readonly != "yes" && os.Loader.Path != "":
		return nil, fmt.Errorf("base domain %q boots by a firmware file that it may write to, and so would its clones: make the loader read-only, with an <nvram> of its own", base.Name)
	case os.Loader != nil && os.Loader.Stateless == "yes":
		return nil, nil
	}
	if found, err := spelledFirmware(base); err != nil || found != nil {
		return found, err
	}
	text, err := base.Marshal()
	if err != nil {
		return nil, fmt.Errorf("reading how base domain %q boots: %w", base.Name, err)
	}
	// Only libvirt knows what it would select.
	native, err := conn.DomainXMLToNative("qemu-argv", text, 0)
	if err != nil {
		return nil, fmt.Errorf("finding out which firmware base domain %q boots by: %w", base.Name, virt.StripCodes(err))
	}
	found, err := nativeFirmware(native)
	if err != nil {
		return nil, fmt.Errorf("finding out which firmware base domain %q boots by: %w", base.Name, err)
	}
	return found, nil
}

// spelledFirmware reads it from a definition that has it all, or answers with nil.
func spelledFirmware(base *libvirtxml.Domain) (*firmware, error) {
	loader, nvram := base.OS.Loader, base.OS.NVRam
	if loader == nil || loader.Path == "" || nvram == nil {
		return nil, nil
	}
	path := strings.TrimSpace(nvram.NVRam)
	if nvram.Source != nil {
		if nvram.Source.File == nil {
			return nil, fmt.Errorf("base domain %q keeps its UEFI variables in something that is not a file, which cannot be copied: keep them in a file", base.Name)
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
	return &firmware{loader: strings.TrimSpace(loader.Path), variables: path, format: format, secure: loader.Secure == "yes"}, nil
}

var (
	pflashNode   = regexp.MustCompile(`\{[^{}]*"node-name":"libvirt-pflash[01]-storage"[^{}]*\}`)
	securePFlash = regexp.MustCompile(`cfi\.pflash01[^ ]*property=secure[^ ]*value=(on|true)`)
)

// nativeFirmware reads it from the command line of QEMU, as libvirt writes it:
// the first flash device holds the code, the second the variables.
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
	found := &firmware{loader: paths["libvirt-pflash0-storage"], variables: paths["libvirt-pflash1-storage"], secure: securePFlash.MatchString(native)}
	switch {
	case found.loader == "" && found.variables == "":
		return nil, errors.New("libvirt names none: name it in the base's definition (<loader> and <nvram>)")
	case found.variables == "":
		return nil, nil
	}
	return found, nil
}

// isMissingVariables says that a clone did not start because the base has no
// variables yet: libvirt tells so by the path alone.
func (c *Clone) IsMissingVariables(err error) bool {
	return c.boot != nil && c.boot.fresh != nil && virt.IsCode(err, libvirt.ERR_SYSTEM_ERROR) && strings.Contains(err.Error(), c.boot.path)
}

// bootFresh has the clone boot as its base does that was never started.
func (c *Clone) BootFresh() {
	c.Definition.OS, c.boot.fresh = c.boot.fresh, nil
}
