package storage

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"

	"github.com/overcast-go/overcast/provider/libvirt/internal/domainxml"
	"github.com/overcast-go/overcast/provider/libvirt/internal/owner"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// choosePool returns the name of the pool of an overlay: the configured one; otherwise
// the pool of the base's disk, if its volumes are files; otherwise the pool "default";
// otherwise the pool of files with the most free space.
func choosePool(conn *libvirt.Connect, o *domainxml.Overlay, wanted string) (string, error) {
	if wanted != "" {
		return checkPool(conn, wanted)
	}
	if o.Source.Block == nil {
		if own, err := poolOf(conn, o.Backing); err != nil || own != "" {
			return own, err
		}
	}
	others, err := FilePools(conn)
	if err == nil && len(others) == 0 {
		err = fmt.Errorf("no active pool of files contains %s, and there is no other pool for its overlay: create one (virsh pool-create-as NAME dir --target FOLDER)", o.Backing)
	}
	if err != nil {
		return "", err
	}
	return preferredPool(others), nil
}

// ImagePool returns the name of the pool that images are imported into: the
// configured one; otherwise the pool "default"; otherwise the pool of files with the
// most free space.
func ImagePool(conn *libvirt.Connect, wanted string) (string, error) {
	if wanted != "" {
		return checkPool(conn, wanted)
	}
	pools, err := FilePools(conn)
	if err == nil && len(pools) == 0 {
		err = errors.New("there is no active pool of files to import an image into: create one (virsh pool-create-as NAME dir --target FOLDER)")
	}
	if err != nil {
		return "", err
	}
	return preferredPool(pools), nil
}

// preferredPool returns the name of the pool "default", or else of the one with the
// most free space.
func preferredPool(others []FilePool) string {
	for _, p := range others {
		if p.Name == defaultPool {
			return p.Name
		}
	}
	return slices.MaxFunc(others, func(a, b FilePool) int { return cmp.Compare(a.Available, b.Available) }).Name
}

// checkPool fails for a pool whose volumes cannot be files.
func checkPool(conn *libvirt.Connect, name string) (string, error) {
	pool, err := conn.LookupStoragePoolByName(name)
	if virt.IsCode(err, libvirt.ERR_NO_STORAGE_POOL) {
		return "", fmt.Errorf("overlayPool %q does not exist: choose one of those that virsh pool-list --all shows", name)
	}
	if err != nil {
		return "", fmt.Errorf("looking up overlayPool %q: %w", name, virt.StripCodes(err))
	}
	defer pool.Free()
	active, err := pool.IsActive()
	if err != nil {
		return "", fmt.Errorf("reading the state of overlayPool %q: %w", name, virt.StripCodes(err))
	}
	if !active {
		return "", fmt.Errorf("overlayPool %q is not active: start it (virsh pool-start %[1]s)", name)
	}
	found, err := readPool(pool)
	if err != nil {
		return "", err
	}
	if found.Dir == "" {
		return "", fmt.Errorf("overlayPool %q has no files as volumes, which overlays need: name a pool of type dir, fs or netfs", name)
	}
	return name, nil
}

// FilePool is an active pool whose volumes are files in a folder.
type FilePool struct {
	Name, Dir string // folder is "" for a pool of another kind
	Available uint64 // bytes
}

// poolOf returns the name of the active pool of files that contains a file, or "". The
// look-up by path is one call, but finds only what existed when the pool was last
// refreshed.
func poolOf(conn *libvirt.Connect, file string) (string, error) {
	if volume, err := conn.LookupStorageVolByPath(file); err == nil {
		defer volume.Free()
		pool, err := volume.LookupPoolByVolume()
		if err != nil {
			return "", fmt.Errorf("looking up the pool of %s: %w", file, virt.StripCodes(err))
		}
		defer pool.Free()
		found, err := readPool(pool)
		if err != nil || found.Dir == "" {
			return "", err
		}
		return found.Name, nil
	}
	pools, err := FilePools(conn)
	for _, p := range pools {
		if p.Dir == path.Dir(file) {
			return p.Name, nil
		}
	}
	return "", err
}

// FilePools lists the active pools of files, except temporary pools of overcast's.
func FilePools(conn *libvirt.Connect) ([]FilePool, error) {
	pools, err := AllFilePools(conn)
	return slices.DeleteFunc(pools, func(p FilePool) bool {
		_, ours := owner.ParseName(p.Name)
		return ours
	}), err
}

// AllFilePools lists all active pools of files.
func AllFilePools(conn *libvirt.Connect) ([]FilePool, error) {
	pools, err := conn.ListAllStoragePools(libvirt.CONNECT_LIST_STORAGE_POOLS_ACTIVE)
	if virt.IsCode(err, libvirt.ERR_NO_SUPPORT) {
		return nil, nil // a hypervisor without storage
	}
	if err != nil {
		return nil, fmt.Errorf("listing pools: %w", virt.StripCodes(err))
	}
	var found []FilePool
	for i := range pools {
		p, err := readPool(&pools[i])
		_ = pools[i].Free()
		if err == nil && p.Dir != "" { // an error means that it no longer exists
			found = append(found, p)
		}
	}
	return found, nil
}

func readPool(pool *libvirt.StoragePool) (FilePool, error) {
	text, err := pool.GetXMLDesc(0)
	if err != nil {
		return FilePool{}, fmt.Errorf("reading the definition of a pool: %w", virt.StripCodes(err))
	}
	var definition libvirtxml.StoragePool
	if err := definition.Unmarshal(text); err != nil {
		return FilePool{}, fmt.Errorf("reading the definition of a pool: %w", err)
	}
	found := FilePool{Name: definition.Name}
	if definition.Available != nil {
		found.Available = definition.Available.Value
	}
	switch definition.Type {
	case "dir", "fs", "netfs":
		if definition.Target != nil {
			found.Dir = path.Clean(definition.Target.Path)
		}
	}
	return found, nil
}
