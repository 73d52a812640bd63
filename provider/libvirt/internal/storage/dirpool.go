package storage

import (
	"context"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/overcast-go/overcast/provider/libvirt/internal/owner"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// CopyDir copies the files of a folder of the hypervisor's machine to another folder,
// which it creates. libvirt has no call for that: it creates two temporary pools, whose
// names begin with name. If the folder does not exist, it does nothing.
func CopyDir(ctx context.Context, conn *libvirt.Connect, u *Undo, name, from, to string) error {
	source, err := CreateDirPool(ctx, conn, u, name+"from", from, 0)
	if IsDirMissing(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading %s: %w", from, virt.StripCodes(err))
	}
	defer source.Close()
	target, err := CreateDirPool(ctx, conn, u, name+"to", to, libvirt.STORAGE_POOL_CREATE_WITH_BUILD)
	if err != nil {
		return fmt.Errorf("creating %s: %w", to, virt.StripCodes(err))
	}
	defer target.Close()
	files, err := source.Pool.ListAllStorageVolumes(0)
	if err != nil {
		return fmt.Errorf("reading %s: %w", from, virt.StripCodes(err))
	}
	for i := range files {
		if err := copyFile(&files[i], target.Pool); err != nil {
			return fmt.Errorf("copying %s: %w", from, virt.StripCodes(err))
		}
		_ = files[i].Free()
	}
	return nil
}

// copyFile copies a volume to a pool. It skips hidden files, which are locks.
func copyFile(from *libvirt.StorageVol, to *libvirt.StoragePool) error {
	name, err := from.GetName()
	if err != nil || strings.HasPrefix(name, ".") {
		return err
	}
	info, err := from.GetInfo()
	if err != nil {
		return err
	}
	volume := libvirtxml.StorageVolume{
		Name:     name,
		Capacity: &libvirtxml.StorageVolumeSize{Value: info.Capacity},
		Target: &libvirtxml.StorageVolumeTarget{
			Format:      &libvirtxml.StorageVolumeTargetFormat{Type: "raw"},
			Permissions: &libvirtxml.StorageVolumeTargetPermissions{Mode: "0600"},
		},
	}
	text, err := volume.Marshal()
	if err != nil {
		return err
	}
	// It may be left from an earlier clone with this UUID: the machine lost power.
	if err := removeFile(to, name); err != nil {
		return err
	}
	made, err := to.StorageVolCreateXMLFrom(text, from, 0)
	if err != nil {
		return err
	}
	return made.Free()
}

// removeFile removes a file from a pool if it exists.
func removeFile(from *libvirt.StoragePool, name string) error {
	file, err := from.LookupStorageVolByName(name)
	if virt.IsCode(err, libvirt.ERR_NO_STORAGE_VOL) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Free()
	return file.Delete(0)
}

// DirPool is a temporary pool over a folder.
type DirPool struct {
	Pool *libvirt.StoragePool
	name string
	conn *libvirt.Connect
}

// Intervals between the attempts to create a pool over a folder that already has one:
// another process may be copying from it.
const (
	poolRetryInterval = 20 * time.Millisecond
	poolRetryMax      = 500 * time.Millisecond
)

// CreateDirPool creates a pool over a folder, recorded in u. name is its name without the
// time of creation, which is added. A folder can have one pool at a time: it waits until
// ctx ends for another one to be removed, and removes one that is stale.
func CreateDirPool(ctx context.Context, conn *libvirt.Connect, u *Undo, name, dir string, flags libvirt.StoragePoolCreateFlags) (*DirPool, error) {
	name = fmt.Sprintf("%s-%d", name, time.Now().Unix())
	definition := libvirtxml.StoragePool{Type: "dir", Name: name, Target: &libvirtxml.StoragePoolTarget{Path: dir}}
	text, err := definition.Marshal()
	if err != nil {
		return nil, err
	}
	u.Record("pool "+name, func(_ context.Context, conn *libvirt.Connect) error { return DestroyPool(conn, name) })
	for pause := poolRetryInterval; ; pause = min(2*pause, poolRetryMax) {
		pool, err := conn.StoragePoolCreateXML(text, flags)
		if err == nil {
			return &DirPool{pool, name, conn}, nil
		}
		if !strings.Contains(err.Error(), "conflict") {
			return nil, err
		}
		if removed, err := removeStalePool(conn, dir); err != nil || removed {
			if err != nil {
				return nil, fmt.Errorf("removing the stale pool over %s: %w", dir, virt.StripCodes(err))
			}
			continue
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: another pool uses the folder (%w): remove it if it is not needed (virsh pool-destroy)", context.Cause(ctx), virt.StripCodes(err))
		case <-time.After(pause):
		}
	}
}

// tempPoolAgeLimit is the age above which a temporary pool counts as stale if its owner
// cannot be seen from here. Set-up needs one for a few seconds.
const tempPoolAgeLimit = time.Hour

// IsStalePool reports whether a temporary pool was left by a process that has ended.
func IsStalePool(pool owner.Name, now time.Time) bool {
	switch pool.Process.State(owner.Self()) {
	case owner.Gone:
		return true
	case owner.Unknown:
		return now.Sub(pool.Created) > tempPoolAgeLimit // the zero time is older
	}
	return false
}

// removeStalePool removes a stale temporary pool over a folder, and reports whether there
// was one.
func removeStalePool(conn *libvirt.Connect, dir string) (bool, error) {
	pools, err := AllFilePools(conn)
	if err != nil {
		return false, err
	}
	for _, p := range pools {
		name, ours := owner.ParseName(p.Name)
		if ours && p.Dir == path.Clean(dir) && IsStalePool(name, time.Now()) {
			return true, DestroyPool(conn, p.Name)
		}
	}
	return false, nil
}

// Close removes the pool; the folder stays.
func (f *DirPool) Close() {
	_ = DestroyPool(f.conn, f.name) // the undo step tries again
	_ = f.Pool.Free()
}

// IsDirMissing reports whether a pool could not be created because its folder does not
// exist.
func IsDirMissing(err error) bool {
	return err != nil && strings.Contains(err.Error(), "No such file or directory")
}

// DestroyPool removes a transient pool. A pool that no longer exists is not an error.
func DestroyPool(conn *libvirt.Connect, name string) error {
	pool, err := conn.LookupStoragePoolByName(name)
	if virt.IsCode(err, libvirt.ERR_NO_STORAGE_POOL) {
		return nil
	}
	if err != nil {
		return err
	}
	defer pool.Free()
	if err := pool.Destroy(); err != nil && !virt.IsCode(err, libvirt.ERR_NO_STORAGE_POOL, libvirt.ERR_OPERATION_INVALID) {
		return err
	}
	return nil
}
