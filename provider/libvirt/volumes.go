package libvirt

import (
	"context"
	"fmt"
	"path"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// defaultPool takes overlays of disks that are in no pool of their own.
const defaultPool = "default"

// makeOverlay makes the volume of an overlay, recorded in u, and puts it in
// its disk's place.
func makeOverlay(conn *libvirt.Connect, u *undo, o *overlay) error {
	backing, err := sourcePath(conn, &o.source)
	if err != nil {
		return fmt.Errorf("disk %s: %w", o.target, err)
	}
	pool, err := overlayPool(conn, backing)
	if err != nil {
		return fmt.Errorf("disk %s: %w", o.target, err)
	}
	defer pool.Free()
	poolName, err := pool.GetName()
	if err != nil {
		return fmt.Errorf("disk %s: naming its pool: %w", o.target, said(err))
	}
	o.pool = poolName
	// No capacity: libvirt then takes the backing store's.
	volume := libvirtxml.StorageVolume{
		Name:         o.volume,
		Target:       &libvirtxml.StorageVolumeTarget{Format: &libvirtxml.StorageVolumeTargetFormat{Type: "qcow2"}},
		BackingStore: &libvirtxml.StorageVolumeBackingStore{Path: backing, Format: &libvirtxml.StorageVolumeTargetFormat{Type: o.format}},
	}
	text, err := volume.Marshal()
	if err != nil {
		return err
	}
	u.record(fmt.Sprintf("volume %s in pool %s", o.volume, poolName), func(_ context.Context, conn *libvirt.Connect) error {
		return deleteVolume(conn, poolName, o.volume)
	})
	made, err := pool.StorageVolCreateXML(text, 0)
	if err != nil {
		return fmt.Errorf("making volume %s in pool %s over %s: %w", o.volume, poolName, backing, said(err))
	}
	defer made.Free()
	file, err := made.GetPath()
	if err != nil {
		return fmt.Errorf("asking for the path of volume %s in pool %s: %w", o.volume, poolName, said(err))
	}
	o.place(file)
	return nil
}

// sourcePath is the path of a disk's source on the hypervisor's machine.
func sourcePath(conn *libvirt.Connect, source *libvirtxml.DomainDiskSource) (string, error) {
	switch {
	case source.File != nil:
		return source.File.File, nil
	case source.Block != nil:
		return source.Block.Dev, nil
	}
	pool, err := conn.LookupStoragePoolByName(source.Volume.Pool)
	if err != nil {
		return "", fmt.Errorf("looking up its pool %s: %w", source.Volume.Pool, said(err))
	}
	defer pool.Free()
	volume, err := pool.LookupStorageVolByName(source.Volume.Volume)
	if err != nil {
		return "", fmt.Errorf("looking up its volume %s in pool %s: %w", source.Volume.Volume, source.Volume.Pool, said(err))
	}
	defer volume.Free()
	return volume.GetPath()
}

// overlayPool is the pool that the backing store is in, if overlays can be
// files there, or else the pool named default.
func overlayPool(conn *libvirt.Connect, backing string) (*libvirt.StoragePool, error) {
	if pool, err := poolOf(conn, backing); err != nil || pool != nil {
		return pool, err
	}
	pool, err := conn.LookupStoragePoolByName(defaultPool)
	if err != nil {
		return nil, fmt.Errorf("no active pool of files holds %s, and there is no pool %q to put its overlay in: make one (virsh pool-create-as NAME dir --target %s)", backing, defaultPool, path.Dir(backing))
	}
	if active, err := pool.IsActive(); err != nil || !active {
		_ = pool.Free()
		return nil, fmt.Errorf("no active pool of files holds %s, and pool %q is not active: start it (virsh pool-start %s)", backing, defaultPool, defaultPool)
	}
	return pool, nil
}

// poolOf finds the active pool of files whose folder the file is in. Asking
// for the volume by its path is one call, but knows only what was there when
// its pool was last refreshed.
func poolOf(conn *libvirt.Connect, file string) (*libvirt.StoragePool, error) {
	if volume, err := conn.LookupStorageVolByPath(file); err == nil {
		defer volume.Free()
		pool, err := volume.LookupPoolByVolume()
		if err != nil {
			return nil, fmt.Errorf("looking up the pool of %s: %w", file, said(err))
		}
		dir, err := poolFolder(pool)
		if err == nil && dir != "" {
			return pool, nil
		}
		_ = pool.Free()
		return nil, err
	}
	pools, err := conn.ListAllStoragePools(libvirt.CONNECT_LIST_STORAGE_POOLS_ACTIVE)
	if err != nil {
		return nil, fmt.Errorf("listing pools: %w", said(err))
	}
	var found *libvirt.StoragePool
	for i := range pools {
		if dir, err := poolFolder(&pools[i]); found == nil && err == nil && dir == path.Dir(file) {
			found = &pools[i]
			continue
		}
		_ = pools[i].Free()
	}
	return found, nil
}

// poolFolder is the folder of a pool whose volumes are files in one, and ""
// for any other pool.
func poolFolder(pool *libvirt.StoragePool) (string, error) {
	text, err := pool.GetXMLDesc(0)
	if err != nil {
		return "", fmt.Errorf("reading the definition of a pool: %w", said(err))
	}
	var definition libvirtxml.StoragePool
	if err := definition.Unmarshal(text); err != nil {
		return "", fmt.Errorf("reading the definition of a pool: %w", said(err))
	}
	switch definition.Type {
	case "dir", "fs", "netfs":
		if definition.Target != nil {
			return path.Clean(definition.Target.Path), nil
		}
	}
	return "", nil
}

// deleteVolume takes a volume away; one that is gone already is no error.
func deleteVolume(conn *libvirt.Connect, poolName, name string) error {
	pool, err := conn.LookupStoragePoolByName(poolName)
	if isCode(err, libvirt.ERR_NO_STORAGE_POOL) {
		return nil
	}
	if err != nil {
		return err
	}
	defer pool.Free()
	volume, err := pool.LookupStorageVolByName(name)
	if isCode(err, libvirt.ERR_NO_STORAGE_VOL) {
		return nil
	}
	if err != nil {
		return err
	}
	defer volume.Free()
	if err := volume.Delete(0); err != nil && !isCode(err, libvirt.ERR_NO_STORAGE_VOL) {
		return err
	}
	return nil
}
