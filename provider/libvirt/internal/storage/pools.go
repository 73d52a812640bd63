package storage

import (
	"cmp"
	"fmt"
	"path"
	"slices"

	"github.com/overcast-go/overcast/provider/libvirt/internal/domainxml"
	"github.com/overcast-go/overcast/provider/libvirt/internal/owner"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// choosePool names the pool of an overlay: the one that the configuration
// wants; or the base disk's own, if overlays can be files there; or else the
// pool named default, or the one with the most room, among those of files.
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
	if err != nil {
		return "", err
	}
	if len(others) == 0 {
		return "", fmt.Errorf("no active pool of files holds %s, and there is no other to put its overlay in: make one (virsh pool-create-as NAME dir --target FOLDER)", o.Backing)
	}
	for _, p := range others {
		if p.Name == defaultPool {
			return p.Name, nil
		}
	}
	return slices.MaxFunc(others, func(a, b filePool) int { return cmp.Compare(a.available, b.available) }).Name, nil
}

// checkPool refuses a pool that overlays cannot be files in.
func checkPool(conn *libvirt.Connect, name string) (string, error) {
	pool, err := conn.LookupStoragePoolByName(name)
	if virt.IsCode(err, libvirt.ERR_NO_STORAGE_POOL) {
		return "", fmt.Errorf("overlayPool %q does not exist: virsh pool-list --all shows what there is", name)
	}
	if err != nil {
		return "", fmt.Errorf("looking up overlayPool %q: %w", name, virt.StripCodes(err))
	}
	defer pool.Free()
	if active, err := pool.IsActive(); err != nil || !active {
		return "", fmt.Errorf("overlayPool %q is not active: start it (virsh pool-start %[1]s)", name)
	}
	found, err := readPool(pool)
	if err != nil {
		return "", err
	}
	if found.Folder == "" {
		return "", fmt.Errorf("overlayPool %q holds no files, but overlays are: name a pool of type dir, fs or netfs", name)
	}
	return name, nil
}

// filePool is an active pool whose volumes are files in a folder.
type filePool struct {
	Name, Folder string // folder is "" for a pool of another kind
	available    uint64 // bytes
}

// poolOf names the active pool of files whose folder the file is in, or "".
// Asking for the volume by its path is one call, but knows only what was there
// when its pool was last refreshed.
func poolOf(conn *libvirt.Connect, file string) (string, error) {
	if volume, err := conn.LookupStorageVolByPath(file); err == nil {
		defer volume.Free()
		pool, err := volume.LookupPoolByVolume()
		if err != nil {
			return "", fmt.Errorf("looking up the pool of %s: %w", file, virt.StripCodes(err))
		}
		defer pool.Free()
		found, err := readPool(pool)
		if err != nil || found.Folder == "" {
			return "", err
		}
		return found.Name, nil
	}
	pools, err := FilePools(conn)
	for _, p := range pools {
		if p.Folder == path.Dir(file) {
			return p.Name, nil
		}
	}
	return "", err
}

// filePools are all active pools of files, but those that stand in for a
// folder for a moment.
func FilePools(conn *libvirt.Connect) ([]filePool, error) {
	pools, err := conn.ListAllStoragePools(libvirt.CONNECT_LIST_STORAGE_POOLS_ACTIVE)
	if virt.IsCode(err, libvirt.ERR_NO_SUPPORT) {
		return nil, nil // a hypervisor without storage
	}
	if err != nil {
		return nil, fmt.Errorf("listing pools: %w", virt.StripCodes(err))
	}
	var found []filePool
	for i := range pools {
		p, err := readPool(&pools[i])
		_ = pools[i].Free()
		if _, ours := owner.ParseName(p.Name); err == nil && p.Folder != "" && !ours { // one that fails is gone since
			found = append(found, p)
		}
	}
	return found, nil
}

func readPool(pool *libvirt.StoragePool) (filePool, error) {
	text, err := pool.GetXMLDesc(0)
	if err != nil {
		return filePool{}, fmt.Errorf("reading the definition of a pool: %w", virt.StripCodes(err))
	}
	var definition libvirtxml.StoragePool
	if err := definition.Unmarshal(text); err != nil {
		return filePool{}, fmt.Errorf("reading the definition of a pool: %w", err)
	}
	found := filePool{Name: definition.Name}
	if definition.Available != nil {
		found.available = definition.Available.Value
	}
	switch definition.Type {
	case "dir", "fs", "netfs":
		if definition.Target != nil {
			found.Folder = path.Clean(definition.Target.Path)
		}
	}
	return found, nil
}
