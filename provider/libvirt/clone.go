package libvirt

import (
	"crypto/rand"
	"encoding/xml"
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"time"

	"libvirt.org/go/libvirtxml"
)

// clone is what is going to be made from a base domain: its definition, and
// the overlays that must be there before it starts. Making the plan touches
// no hypervisor.
type clone struct {
	name       string
	definition *libvirtxml.Domain
	overlays   []overlay
	mac        net.HardwareAddr // of the interface whose address is looked up; nil if there is none
	network    string           // that it is on: the name of a libvirt network or of a bridge
}

// overlay is a qcow2 volume that takes what the clone writes to a disk.
type overlay struct {
	volume string                      // name of the volume to make
	pool   string                      // that it is in, once it is there
	target string                      // of the disk, as in vda
	source libvirtxml.DomainDiskSource // of the base's disk
	format string                      // of the base's disk
	disk   *libvirtxml.DomainDisk      // the clone's, whose source is set once the volume is there
}

// NamePrefix starts the name of every domain and volume that this provider makes.
const NamePrefix = "overcast-"

// metadataNamespace marks this provider's element in a domain's metadata.
const metadataNamespace = "https://github.com/overcast-go/overcast/xmlns/clone/1"

// planClone works out the clone of a base domain. A base that cannot be cloned
// is refused with the reason.
func planClone(base *libvirtxml.Domain, label, network string) (*clone, error) {
	if base.OS != nil && base.OS.NVRam != nil {
		// Started as it is, the clone would write to the base's variables.
		return nil, fmt.Errorf("base domain %q has UEFI variables of its own (nvram), which cannot be cloned yet: use a base domain that boots by BIOS", base.Name)
	}
	definition, err := copyDefinition(base)
	if err != nil {
		return nil, err
	}
	c := &clone{name: newName(label), definition: definition}
	definition.Name = c.name
	definition.UUID = ""
	definition.Title = ""
	definition.Metadata = &libvirtxml.DomainMetadata{XML: metadata(base.Name, label)}
	if definition.Devices == nil {
		definition.Devices = &libvirtxml.DomainDeviceList{}
	}
	if err := c.planDisks(base.Name); err != nil {
		return nil, err
	}
	if err := c.planInterfaces(base.Name, network); err != nil {
		return nil, err
	}
	return c, nil
}

// copyDefinition makes a deep copy, so that a base can serve many plans.
func copyDefinition(base *libvirtxml.Domain) (*libvirtxml.Domain, error) {
	text, err := base.Marshal()
	if err != nil {
		return nil, fmt.Errorf("copying the definition of base domain %q: %w", base.Name, err)
	}
	var definition libvirtxml.Domain
	if err := definition.Unmarshal(text); err != nil {
		return nil, fmt.Errorf("copying the definition of base domain %q: %w", base.Name, err)
	}
	return &definition, nil
}

// planDisks gives every disk that the clone may write to an overlay.
func (c *clone) planDisks(base string) error {
	for i := range c.definition.Devices.Disks {
		disk := &c.definition.Devices.Disks[i]
		target := "disk"
		if disk.Target != nil {
			target = disk.Target.Dev
		}
		switch {
		case disk.ReadOnly != nil || disk.Device == "cdrom":
			continue // nobody writes to it: shared
		case disk.Device == "floppy":
			disk.ReadOnly = &libvirtxml.DomainDiskReadOnly{} // shared, too, and kept as it is
			continue
		case disk.Device == "lun":
			return fmt.Errorf("base domain %q: disk %s is a LUN that is passed through, which every clone would write to: detach it from the base domain", base, target)
		}
		if disk.Source == nil || (disk.Source.File != nil && disk.Source.File.File == "") {
			return fmt.Errorf("base domain %q: disk %s has no source: give it one, or detach it from the base domain", base, target)
		}
		if disk.Source.File == nil && disk.Source.Volume == nil && disk.Source.Block == nil {
			return fmt.Errorf("base domain %q: disk %s is neither a file, a volume nor a block device, so that no overlay can be made over it: move it to a storage pool of files", base, target)
		}
		format := "raw"
		if disk.Driver != nil && disk.Driver.Type != "" {
			format = disk.Driver.Type
		}
		c.overlays = append(c.overlays, overlay{
			volume: c.name + "-" + target + ".qcow2",
			target: target,
			source: *disk.Source,
			format: format,
			disk:   disk,
		})
	}
	if len(c.overlays) == 0 {
		return fmt.Errorf("base domain %q has no disks to clone: give it a disk that holds its system, or check libvirtBaseDomain", base)
	}
	return nil
}

// place puts the overlay's volume, once it is there, in the disk's place.
// What a clone writes is thrown away, so that nobody waits for it to be safe.
func (o *overlay) place(path string) {
	o.disk.Source = &libvirtxml.DomainDiskSource{File: &libvirtxml.DomainDiskSourceFile{File: path}}
	o.disk.BackingStore = nil
	if o.disk.Driver == nil {
		o.disk.Driver = &libvirtxml.DomainDiskDriver{Name: "qemu"}
	}
	o.disk.Driver.Type = "qcow2"
	o.disk.Driver.Cache = "unsafe"
	o.disk.Driver.IO = "" // native needs a cache mode that overlays do not have
}

// planInterfaces gives every interface a MAC address of its own and picks the
// one on the network whose address is looked up.
func (c *clone) planInterfaces(base, network string) error {
	var there, matching []string
	interfaces := c.definition.Devices.Interfaces
	for i := range interfaces {
		mac := newMAC()
		interfaces[i].MAC = &libvirtxml.DomainInterfaceMAC{Address: mac.String()}
		interfaces[i].Target = nil // the name of the host's end is libvirt's to give
		id := networkOf(&interfaces[i])
		there = append(there, id)
		if network == "" || id == network {
			matching = append(matching, id)
			c.mac, c.network = mac, id
		}
	}
	list := strings.Join(there, ", ")
	switch {
	case len(matching) == 1:
		return nil
	case len(there) == 0 && network == "":
		return nil // only a static address can be found: the strategy says so
	case len(there) == 0:
		return fmt.Errorf("networkDeviceId is %q, but base domain %q has no network interface", network, base)
	case len(matching) > 1 && network == "":
		return fmt.Errorf("base domain %q has %d interfaces (on %s): say which one by networkDeviceId", base, len(there), list)
	case len(matching) > 1:
		return fmt.Errorf("base domain %q has %d interfaces on %q: one of them could be looked up, and nothing says which", base, len(matching), network)
	}
	return fmt.Errorf("base domain %q has no interface on %q (networkDeviceId), only on %s", base, network, list)
}

// networkOf is the name of the libvirt network or bridge that an interface is on.
func networkOf(i *libvirtxml.DomainInterface) string {
	switch {
	case i.Source == nil:
	case i.Source.Network != nil:
		return i.Source.Network.Network
	case i.Source.Bridge != nil:
		return i.Source.Bridge.Bridge
	case i.Source.Direct != nil:
		return i.Source.Direct.Dev
	}
	return "nothing that has a name"
}

// longestLabel is how much of a label a name takes, in bytes: names of files
// have their limit.
const longestLabel = 64

// newName is a fresh name for a clone. It tells people whose it is and is fit
// for the name of a file.
func newName(label string) string {
	suffix := make([]byte, 4)
	rand.Read(suffix) // never fails
	plain := regexp.MustCompile(`[^A-Za-z0-9_.-]+`).ReplaceAllString(label, "_")
	plain = plain[:min(len(plain), longestLabel)]
	return fmt.Sprintf("%s%s-%x", NamePrefix, plain, suffix)
}

// newMAC is a fresh address in the block that QEMU and KVM use.
func newMAC() net.HardwareAddr {
	mac := net.HardwareAddr{0x52, 0x54, 0, 0, 0, 0}
	rand.Read(mac[3:]) // never fails
	return mac
}

// metadata is this provider's element: what a domain is and who made it.
func metadata(parent, label string) string {
	host, _ := os.Hostname()
	element := struct {
		XMLName xml.Name `xml:"overcast:clone"`
		NS      string   `xml:"xmlns:overcast,attr"`
		Parent  string   `xml:"overcast:parent"`
		Label   string   `xml:"overcast:label"`
		Host    string   `xml:"overcast:host"`
		Process int      `xml:"overcast:process"`
		Created string   `xml:"overcast:created"`
	}{NS: metadataNamespace, Parent: parent, Label: label, Host: host, Process: os.Getpid(), Created: time.Now().UTC().Format(time.RFC3339)}
	text, _ := xml.Marshal(element) // strings and a number: cannot fail
	return string(text)
}
