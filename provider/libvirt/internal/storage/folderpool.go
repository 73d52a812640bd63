package storage

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// copyFolder copies the files of a folder of the hypervisor's machine into another,
// which is created, by two pools that exist meanwhile: libvirt has no call for it.
// A folder that does not exist is not an error. name is that of the pools.
func CopyFolder(ctx context.Context, conn *libvirt.Connect, u *Undo, name, from, to string) error {
	source, err := FolderPool(ctx, conn, u, name+"from", from, 0)
	if IsMissingFolder(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading %s: %w", from, virt.StripCodes(err))
	}
	defer source.Close()
	target, err := FolderPool(ctx, conn, u, name+"to", to, libvirt.STORAGE_POOL_CREATE_WITH_BUILD)
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

// copyFile copies a volume into a pool, under its name. Locks are not copied.
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
	made, err := to.StorageVolCreateXMLFrom(text, from, 0)
	if virt.IsCode(err, libvirt.ERR_STORAGE_VOL_EXIST) {
		// An earlier clone with this UUID has left it, as its machine lost power.
		if err := removeFile(to, name); err != nil {
			return err
		}
		made, err = to.StorageVolCreateXMLFrom(text, from, 0)
	}
	if err != nil {
		return err
	}
	return made.Free()
}

func removeFile(from *libvirt.StoragePool, name string) error {
	file, err := from.LookupStorageVolByName(name)
	if err != nil {
		return err
	}
	defer file.Free()
	return file.Delete(0)
}

// folder is a pool over a folder, which is there for as long as it is used.
type folder struct {
	Pool *libvirt.StoragePool
	name string
	conn *libvirt.Connect
}

// How long to wait for a folder that another pool is over: another process
// copies from it.
const (
	folderPause     = 20 * time.Millisecond
	folderLastPause = 500 * time.Millisecond
)

// folderPool makes a pool over a folder, recorded in u. There can be one at a
// time: it waits its turn as long as ctx lasts.
func FolderPool(ctx context.Context, conn *libvirt.Connect, u *Undo, name, dir string, flags libvirt.StoragePoolCreateFlags) (*folder, error) {
	definition := libvirtxml.StoragePool{Type: "dir", Name: name, Target: &libvirtxml.StoragePoolTarget{Path: dir}}
	text, err := definition.Marshal()
	if err != nil {
		return nil, err
	}
	u.Record("pool "+name, func(_ context.Context, conn *libvirt.Connect) error { return StopPool(conn, name) })
	for pause := folderPause; ; pause = min(2*pause, folderLastPause) {
		pool, err := conn.StoragePoolCreateXML(text, flags)
		if err == nil {
			return &folder{pool, name, conn}, nil
		}
		if !strings.Contains(err.Error(), "conflict") {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: another pool is over the folder (%w): if nobody needs it, virsh pool-destroy it", context.Cause(ctx), virt.StripCodes(err))
		case <-time.After(pause):
		}
	}
}

// close takes the pool away; the folder stays.
func (f *folder) Close() {
	_ = StopPool(f.conn, f.name) // undoing tries again
	_ = f.Pool.Free()
}

// isMissingFolder says that a pool could not be made because there is nothing
// that it could be over.
func IsMissingFolder(err error) bool {
	return err != nil && strings.Contains(err.Error(), "No such file or directory")
}

// stopPool takes a transient pool away; one that is gone already is no error.
func StopPool(conn *libvirt.Connect, name string) error {
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
