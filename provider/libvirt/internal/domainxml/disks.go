package domainxml

import (
	"fmt"
	"sync/atomic"

	"libvirt.org/go/libvirtxml"
)

// overlay is a qcow2 volume that takes what the clone writes to a disk.
type Overlay struct {
	Volume    string                      // name of the volume to make
	Pool      string                      // that it goes to, once it is placed
	Backing   string                      // path of the base's disk, once it is placed
	Target    string                      // of the disk, as in vda
	Source    libvirtxml.DomainDiskSource // of the base's disk
	Format    string                      // of the base's disk
	Shareable bool                        // the base lets others write to it meanwhile
	Anonymous atomic.Bool                 // the volume is deleted, but for QEMU
	disk      *libvirtxml.DomainDisk      // the clone's, whose source is set once the volume is there
}

// planDisks gives every disk that the clone may write to an overlay. A disk
// that nobody writes to is shared with the base as it is.
func (c *Clone) planDisks(base, cache string) error {
	for i := range c.Definition.Devices.Disks {
		disk := &c.Definition.Devices.Disks[i]
		switch {
		case disk.ReadOnly != nil || disk.Device == "cdrom":
			continue
		case disk.Device == "floppy":
			disk.ReadOnly = &libvirtxml.DomainDiskReadOnly{} // or else the clone would write to the base's
			continue
		}
		target := targetOf(disk)
		if err := refuseDisk(disk); err != nil {
			return fmt.Errorf("base domain %q: disk %s %w", base, target, err)
		}
		c.Overlays = append(c.Overlays, Overlay{
			Volume:    c.Name + "-" + target + ".qcow2",
			Target:    target,
			Source:    *disk.Source,
			Format:    formatOf(disk),
			Shareable: disk.Shareable != nil,
			disk:      disk,
		})
		planDriver(disk, cache)
	}
	if len(c.Overlays) == 0 {
		return fmt.Errorf("base domain %q has no disks to clone: give it a disk that holds its system, or check libvirtBaseDomain", base)
	}
	return nil
}

func targetOf(disk *libvirtxml.DomainDisk) string {
	if disk.Target == nil {
		return "disk"
	}
	return disk.Target.Dev
}

// formatOf is the format of a disk's file; without a word of it, libvirt takes
// it for raw.
func formatOf(disk *libvirtxml.DomainDisk) string {
	if disk.Driver == nil || disk.Driver.Type == "" {
		return "raw"
	}
	return disk.Driver.Type
}

// refuseDisk says why there can be no overlay over a disk.
func refuseDisk(disk *libvirtxml.DomainDisk) error {
	s := disk.Source
	switch {
	case disk.Device == "lun":
		return fmt.Errorf("is a LUN that is passed through, which every clone would write to: detach it from the base domain")
	case s == nil || (s.File != nil && s.File.File == "") || (s.Block != nil && s.Block.Dev == ""):
		return fmt.Errorf("has no source: give it one, or detach it from the base domain")
	case s.Network != nil:
		return fmt.Errorf("is on another machine (%s), where no overlay can be made over it: move it to a storage pool of the hypervisor's", s.Network.Protocol)
	case s.File == nil && s.Volume == nil && s.Block == nil:
		return fmt.Errorf("is neither a file, a volume nor a block device, so that no overlay can be made over it: move it to a storage pool of files")
	case disk.Encryption != nil || s.Encryption != nil:
		return fmt.Errorf("is encrypted, and an overlay would hold what was read from it in clear: decrypt it (qemu-img convert)")
	case s.Slices != nil:
		return fmt.Errorf("is a slice of its source, which an overlay cannot be made over: give it a file of its own")
	}
	return nil
}

// planDriver sets what is different about an overlay's driver. What a clone
// writes is thrown away, so that nobody waits for it to be safe, unless the
// configuration wants otherwise.
func planDriver(disk *libvirtxml.DomainDisk, cache string) {
	if disk.Driver == nil {
		disk.Driver = &libvirtxml.DomainDiskDriver{Name: "qemu"}
	}
	disk.Driver.Type = "qcow2"
	disk.Driver.Cache = cache
	if cache != "none" && cache != "directsync" && disk.Driver.IO == "native" {
		disk.Driver.IO = "" // native works with these modes only
	}
	// The overlay is thrown away anyway, and is this clone's alone.
	disk.Transient, disk.Shareable = nil, nil
}

// place puts the overlay's volume, once it is there, in the disk's place. A
// backing chain that the base spells out stays spelt out; any other libvirt
// reads from the files.
func (o *Overlay) Place(path string) {
	chain := o.disk.BackingStore
	o.disk.Source = &libvirtxml.DomainDiskSource{File: &libvirtxml.DomainDiskSourceFile{File: path}}
	o.disk.BackingStore = nil
	if chain != nil {
		o.disk.BackingStore = &libvirtxml.DomainDiskBackingStore{
			Format:       &libvirtxml.DomainDiskFormat{Type: o.Format},
			Source:       &libvirtxml.DomainDiskSource{File: &libvirtxml.DomainDiskSourceFile{File: o.Backing}},
			BackingStore: chain,
		}
		if o.Source.Block != nil {
			o.disk.BackingStore.Source = &libvirtxml.DomainDiskSource{Block: &libvirtxml.DomainDiskSourceBlock{Dev: o.Backing}}
		}
	}
}
