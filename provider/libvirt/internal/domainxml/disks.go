package domainxml

import (
	"fmt"
	"sync/atomic"

	"libvirt.org/go/libvirtxml"
)

// Overlay is the qcow2 volume that a clone's writes to a disk go to.
type Overlay struct {
	Volume    string                      // name of the volume
	Pool      string                      // name of its pool; "" before it is located
	Backing   string                      // path of the base's disk; "" before it is located
	Target    string                      // of the disk, as in vda
	Source    libvirtxml.DomainDiskSource // of the base's disk
	Format    string                      // of the base's disk
	Capacity  uint64                      // size of the base's disk in bytes; 0 if it is not known
	Shareable bool                        // other domains may write to the base's disk
	Size      uint64                      // of the overlay in bytes; 0: that of the base's disk
	Unlinked  atomic.Bool                 // the volume is deleted; QEMU still has it open
	disk      *libvirtxml.DomainDisk      // of the clone; its source is set once the volume exists
}

// PlanDisks plans an overlay, with a cache mode, for each disk that the clone may write
// to. Read-only disks are shared with the base.
func (c *Clone) PlanDisks(cache string) error {
	for i := range c.Definition.Devices.Disks {
		disk := &c.Definition.Devices.Disks[i]
		switch {
		case disk.ReadOnly != nil || disk.Device == "cdrom":
			continue
		case disk.Device == "floppy":
			disk.ReadOnly = &libvirtxml.DomainDiskReadOnly{} // otherwise the clone would write to the base's
			continue
		}
		target := targetOf(disk)
		if err := checkDisk(disk); err != nil {
			return fmt.Errorf("base domain %q: disk %s %w", c.base.Name, target, err)
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
		return fmt.Errorf("base domain %q has no disks to clone: give it a disk that holds its system, or check libvirtBaseDomain", c.base.Name)
	}
	return nil
}

func targetOf(disk *libvirtxml.DomainDisk) string {
	if disk.Target == nil {
		return "disk"
	}
	return disk.Target.Dev
}

// formatOf returns the format of a disk's file. libvirt's default is raw.
func formatOf(disk *libvirtxml.DomainDisk) string {
	if disk.Driver == nil || disk.Driver.Type == "" {
		return "raw"
	}
	return disk.Driver.Type
}

// checkDisk fails for a disk that cannot be the backing store of an overlay.
func checkDisk(disk *libvirtxml.DomainDisk) error {
	s := disk.Source
	switch {
	case disk.Device == "lun":
		return fmt.Errorf("is a LUN that is passed through, so every clone would write to it: detach it from the base domain")
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

// planDriver configures the driver of an overlay.
func planDriver(disk *libvirtxml.DomainDisk, cache string) {
	if disk.Driver == nil {
		disk.Driver = &libvirtxml.DomainDiskDriver{Name: "qemu"}
	}
	disk.Driver.Type = "qcow2"
	disk.Driver.Cache = cache
	if cache != "none" && cache != "directsync" && disk.Driver.IO == "native" {
		disk.Driver.IO = "" // native works with these modes only
	}
	// The overlay is removed with the clone, and only this clone uses it.
	disk.Transient, disk.Shareable = nil, nil
}

// SetPath makes the file of the overlay the source of the clone's disk. An explicit
// backing chain of the base is extended; otherwise libvirt reads the chain from the
// files.
func (o *Overlay) SetPath(path string) {
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

// AddSeed adds a disk that the clone only reads, before the disks are planned. SetSeed
// sets its file.
func (c *Clone) AddSeed(target string) {
	c.seed = target
	c.Definition.Devices.Disks = append(c.Definition.Devices.Disks, libvirtxml.DomainDisk{
		Device:   "disk",
		Driver:   &libvirtxml.DomainDiskDriver{Name: "qemu", Type: "raw"},
		Target:   &libvirtxml.DomainDiskTarget{Dev: target, Bus: "virtio"},
		ReadOnly: &libvirtxml.DomainDiskReadOnly{},
	})
}

// SetSeed sets the raw file of the disk that AddSeed added.
func (c *Clone) SetSeed(path string) {
	for n := range c.Definition.Devices.Disks {
		if d := &c.Definition.Devices.Disks[n]; targetOf(d) == c.seed {
			d.Source = &libvirtxml.DomainDiskSource{File: &libvirtxml.DomainDiskSourceFile{File: path}}
		}
	}
}
