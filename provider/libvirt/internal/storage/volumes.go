package storage

import (
	"context"
	"fmt"

	"github.com/overcast-go/overcast/provider/libvirt/internal/domainxml"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// defaultPool is the preferred pool for overlays of disks that are in no pool of files.
const defaultPool = "default"

// LocateDisks finds the file and the capacity of every disk that has an overlay. It
// fails if libvirt cannot open the file, or if a running domain may write to it.
func LocateDisks(conn *libvirt.Connect, c *domainxml.Clone, base string) error {
	for n := range c.Overlays {
		o := &c.Overlays[n]
		if err := locateDisk(conn, o, base); err != nil {
			return fmt.Errorf("base domain %q: disk %s: %w: check that the file exists, and that libvirtd and the user that QEMU runs as may read it", base, o.Target, err)
		}
		if err := checkShared(conn, o); err != nil {
			return fmt.Errorf("base domain %q: disk %s: %w", base, o.Target, err)
		}
	}
	return nil
}

// ChoosePools selects the pool of every overlay; wanted is the configured one, or "". It
// fails with a *[PoolFullError] if a pool has no room for the overlays.
func ChoosePools(conn *libvirt.Connect, c *domainxml.Clone, base, wanted string) ([]PoolUse, error) {
	for n := range c.Overlays {
		o := &c.Overlays[n]
		var err error
		if o.Pool, err = choosePool(conn, o, wanted); err != nil {
			return nil, fmt.Errorf("base domain %q: disk %s: %w", base, o.Target, err)
		}
	}
	return readPoolUse(conn, c.Overlays)
}

func checkShared(conn *libvirt.Connect, o *domainxml.Overlay) error {
	if !o.Shareable {
		return nil
	}
	writer, err := writerOf(conn, o.Backing)
	if err == nil && writer != "" {
		err = fmt.Errorf("the running domain %q shares it and may write to it, and a clone's backing store must not change: shut that domain off first", writer)
	}
	return err
}

// CreateOverlay creates the volume of an overlay, recorded in u, and makes it the
// source of the clone's disk.
func CreateOverlay(conn *libvirt.Connect, u *Undo, o *domainxml.Overlay) error {
	pool, err := conn.LookupStoragePoolByName(o.Pool)
	if err != nil {
		return fmt.Errorf("disk %s: looking up pool %s: %w", o.Target, o.Pool, virt.StripCodes(err))
	}
	defer pool.Free()
	// Without a capacity, libvirt uses that of the backing store. Version 3 of qcow2,
	// "1.1" to libvirt, distinguishes discarded clusters from those of the backing store.
	volume := libvirtxml.StorageVolume{
		Name:         o.Volume,
		Target:       &libvirtxml.StorageVolumeTarget{Format: &libvirtxml.StorageVolumeTargetFormat{Type: "qcow2"}, Compat: "1.1"},
		BackingStore: &libvirtxml.StorageVolumeBackingStore{Path: o.Backing, Format: &libvirtxml.StorageVolumeTargetFormat{Type: o.Format}},
	}
	if o.Size > 0 {
		volume.Capacity = &libvirtxml.StorageVolumeSize{Value: o.Size}
	}
	text, err := volume.Marshal()
	if err != nil {
		return err
	}
	u.Record(VolumeRef{Pool: o.Pool, Name: o.Volume}.String(), func(_ context.Context, conn *libvirt.Connect) error {
		if o.Unlinked.Load() {
			return nil
		}
		return DeleteVolume(conn, o.Pool, o.Volume)
	})
	made, err := pool.StorageVolCreateXML(text, 0)
	if err != nil {
		return fmt.Errorf("creating volume %s in pool %s over %s: %w", o.Volume, o.Pool, o.Backing, virt.StripCodes(err))
	}
	defer made.Free()
	file, err := made.GetPath()
	if err != nil {
		return fmt.Errorf("reading the path of volume %s in pool %s: %w", o.Volume, o.Pool, virt.StripCodes(err))
	}
	o.SetPath(file)
	return nil
}

// CreateVolume creates a volume. What it contains is written later.
func CreateVolume(conn *libvirt.Connect, pool string, v libvirtxml.StorageVolume) (*libvirt.StorageVol, error) {
	p, err := conn.LookupStoragePoolByName(pool)
	if err != nil {
		return nil, fmt.Errorf("looking up pool %s: %w", pool, virt.StripCodes(err))
	}
	defer p.Free()
	v.Allocation = &libvirtxml.StorageVolumeSize{Value: 0}
	text, err := v.Marshal()
	if err != nil {
		return nil, err
	}
	volume, err := p.StorageVolCreateXML(text, 0)
	if err != nil {
		return nil, fmt.Errorf("creating volume %s: %w", v.Name, virt.StripCodes(err))
	}
	return volume, nil
}

// CreateEmpty creates a volume without content.
func CreateEmpty(conn *libvirt.Connect, pool, name string) error {
	volume, err := CreateVolume(conn, pool, libvirtxml.StorageVolume{Name: name, Capacity: &libvirtxml.StorageVolumeSize{Value: 0}})
	if err != nil {
		return err
	}
	return volume.Free()
}

// locateDisk sets the path and the capacity of the disk that an overlay is based on.
func locateDisk(conn *libvirt.Connect, o *domainxml.Overlay, base string) error {
	if o.Source.Volume != nil {
		return locateVolume(conn, o)
	}
	switch {
	case o.Source.File != nil:
		o.Backing = o.Source.File.File
	case o.Source.Block != nil:
		o.Backing = o.Source.Block.Dev
	}
	domain, err := conn.LookupDomainByName(base)
	if err != nil {
		return virt.StripCodes(err)
	}
	defer domain.Free()
	info, err := domain.GetBlockInfo(o.Target, 0)
	if virt.IsCode(err, libvirt.ERR_NO_SUPPORT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("the hypervisor cannot read %s: %w", o.Backing, virt.StripCodes(err))
	}
	o.Capacity = info.Capacity
	return nil
}

// locateVolume is locateDisk for a volume that is a file or a block device.
func locateVolume(conn *libvirt.Connect, o *domainxml.Overlay) error {
	source := o.Source.Volume
	pool, err := conn.LookupStoragePoolByName(source.Pool)
	if err != nil {
		return fmt.Errorf("looking up its pool %s: %w", source.Pool, virt.StripCodes(err))
	}
	defer pool.Free()
	volume, err := pool.LookupStorageVolByName(source.Volume)
	if err != nil {
		return fmt.Errorf("looking up its volume %s in pool %s: %w", source.Volume, source.Pool, virt.StripCodes(err))
	}
	defer volume.Free()
	info, err := volume.GetInfo()
	if err != nil {
		return fmt.Errorf("reading volume %s in pool %s: %w", source.Volume, source.Pool, virt.StripCodes(err))
	}
	if info.Type != libvirt.STORAGE_VOL_FILE && info.Type != libvirt.STORAGE_VOL_BLOCK {
		return fmt.Errorf("volume %s in pool %s is on another machine, where it cannot have an overlay: move it to a pool of files", source.Volume, source.Pool)
	}
	o.Capacity = info.Capacity
	o.Backing, err = volume.GetPath()
	return virt.StripCodes(err)
}

// writerOf returns the name of a running domain that may write to a file, or "".
func writerOf(conn *libvirt.Connect, file string) (string, error) {
	domains, err := conn.ListAllDomains(libvirt.CONNECT_LIST_DOMAINS_ACTIVE)
	if err != nil {
		return "", fmt.Errorf("listing domains: %w", virt.StripCodes(err))
	}
	writer := ""
	for i := range domains {
		if definition, err := virt.ReadDefinition(&domains[i], 0); err == nil && writes(definition, file) {
			writer = definition.Name
		}
		_ = domains[i].Free()
	}
	return writer, nil
}

func writes(d *libvirtxml.Domain, file string) bool {
	if d.Devices == nil {
		return false
	}
	for _, disk := range d.Devices.Disks {
		s := disk.Source
		if s == nil || disk.ReadOnly != nil {
			continue
		}
		if (s.File != nil && s.File.File == file) || (s.Block != nil && s.Block.Dev == file) {
			return true
		}
	}
	return false
}

// LookUpVolume looks a volume up. The error has libvirt's code.
func LookUpVolume(conn *libvirt.Connect, v VolumeRef) (*libvirt.StorageVol, error) {
	pool, err := conn.LookupStoragePoolByName(v.Pool)
	if err != nil {
		return nil, fmt.Errorf("looking up pool %s: %w", v.Pool, virt.StripCodes(err))
	}
	defer pool.Free()
	volume, err := pool.LookupStorageVolByName(v.Name)
	if err != nil {
		return nil, fmt.Errorf("looking up %v: %w", v, virt.StripCodes(err))
	}
	return volume, nil
}

// LacksVolume reports whether an error is that a volume or its pool does not exist.
func LacksVolume(err error) bool {
	return virt.IsCode(err, libvirt.ERR_NO_STORAGE_VOL, libvirt.ERR_NO_STORAGE_POOL)
}

// IsPoolStopped reports whether an error is that a pool is not active.
func IsPoolStopped(err error) bool { return virt.IsCode(err, libvirt.ERR_OPERATION_INVALID) }

// VolumePath returns the path of a volume, or "" if the volume does not exist.
func VolumePath(conn *libvirt.Connect, v VolumeRef) (string, error) {
	volume, err := LookUpVolume(conn, v)
	if virt.IsCode(err, libvirt.ERR_NO_STORAGE_POOL, libvirt.ERR_NO_STORAGE_VOL) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer volume.Free()
	path, err := volume.GetPath()
	return path, virt.StripCodes(err)
}

// Timestamps returns when the file of a volume was last written and changed. They are empty if
// libvirt does not know.
func Timestamps(volume *libvirt.StorageVol) (libvirtxml.StorageVolumeTargetTimestamps, error) {
	none := libvirtxml.StorageVolumeTargetTimestamps{}
	text, err := volume.GetXMLDesc(0)
	if err != nil {
		return none, virt.StripCodes(err)
	}
	var definition libvirtxml.StorageVolume
	if err := definition.Unmarshal(text); err != nil {
		return none, err
	}
	if definition.Target == nil || definition.Target.Timestamps == nil {
		return none, nil
	}
	return *definition.Target.Timestamps, nil
}

// DeleteVolume removes a volume. A volume that no longer exists is not an error; a pool
// that does not exist or is not active is one, as the volume's file may still exist.
func DeleteVolume(conn *libvirt.Connect, poolName, name string) error {
	pool, err := conn.LookupStoragePoolByName(poolName)
	if err != nil {
		return err
	}
	defer pool.Free()
	volume, err := pool.LookupStorageVolByName(name)
	if virt.IsCode(err, libvirt.ERR_NO_STORAGE_VOL) {
		return nil
	}
	if err != nil {
		return err
	}
	defer volume.Free()
	if err := volume.Delete(0); err != nil && !virt.IsCode(err, libvirt.ERR_NO_STORAGE_VOL) {
		return err
	}
	return nil
}

// ForEachVolume calls do for each volume of a pool. A pool that was stopped or removed since
// it was listed has no volumes.
func ForEachVolume(conn *libvirt.Connect, poolName string, do func(*libvirt.StorageVol)) error {
	pool, err := conn.LookupStoragePoolByName(poolName)
	if isPoolGone(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking up pool %s: %w", poolName, virt.StripCodes(err))
	}
	defer pool.Free()
	volumes, err := volumesOf(pool)
	if err != nil {
		return fmt.Errorf("listing the volumes of pool %s: %w", poolName, virt.StripCodes(err))
	}
	for i := range volumes {
		do(&volumes[i])
		_ = volumes[i].Free()
	}
	return nil
}

// volumesOf lists the volumes of a pool, which may have been stopped or removed.
func volumesOf(pool *libvirt.StoragePool) ([]libvirt.StorageVol, error) {
	volumes, err := pool.ListAllStorageVolumes(0)
	if isPoolGone(err) {
		return nil, nil
	}
	return volumes, err
}

// isPoolGone reports whether the error of a call about a pool or its volumes says that the
// pool is not active or does not exist.
func isPoolGone(err error) bool {
	return IsPoolStopped(err) || virt.IsCode(err, libvirt.ERR_NO_STORAGE_POOL)
}
