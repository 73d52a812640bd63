package gc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"

	"github.com/overcast-go/overcast/internal/redact"
	"github.com/overcast-go/overcast/provider/libvirt/internal/owner"
	"github.com/overcast-go/overcast/provider/libvirt/internal/storage"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// Options are the options of garbage collection.
type Options struct {
	DryRun bool   // remove nothing
	Kept   bool   // also remove clones that were left for inspection, if their process has ended
	Label  string // remove only what belongs to hosts of this label; "" for all

	Owner *owner.Process // remove only what this process created; nil for all
}

// Removes reports whether a resource that was listed is removed.
func (o Options) Removes(r Resource) bool {
	return r.SkipReason == "" && (o.Label == "" || o.Label == r.Label) && (o.Owner == nil || isOf(*o.Owner, r))
}

// isOf reports whether a process created a resource, whose name says that.
func isOf(by owner.Process, r Resource) bool {
	made, ok := owner.ParseName(path.Base(r.Name))
	return ok && made.Process.Is(by)
}

// Collect removes what overcast created and whose owner has ended. It returns what it
// removed, or would remove with DryRun, also with an error.
func Collect(ctx context.Context, conn *libvirt.Connect, options Options) ([]Resource, error) {
	found, err := list(ctx, conn, options)
	var removed []Resource
	errs := []error{err}
	for _, m := range found {
		if !options.Removes(m.Resource) {
			continue
		}
		if ctx.Err() != nil {
			errs = append(errs, context.Cause(ctx))
			break
		}
		if !options.DryRun {
			if err := virt.WithContext(ctx, conn, func() error { return remove(conn, m.Resource) }); err != nil {
				errs = append(errs, fmt.Errorf("removing %s %s: %w", m.Kind, m.Name, virt.StripCodes(err)))
				continue
			}
		}
		removed = append(removed, m.Resource)
	}
	return removed, errors.Join(errs...)
}

func remove(conn *libvirt.Connect, m Resource) error {
	switch m.Kind {
	case "domain":
		return removeDomain(conn, m.Name)
	case "volume":
		return storage.DeleteVolume(conn, m.Pool, m.Name)
	}
	return storage.DestroyPool(conn, m.Name)
}

// removeDomain removes a domain. Like a teardown, it meanwhile creates empty files in the place
// of those that are unlinked: libvirt restores the owners of a domain's files when it stops the
// domain, and may wait forever after an error about a missing file.
func removeDomain(conn *libvirt.Connect, name string) error {
	created := replaceUnlinked(conn, name)
	err := virt.RemoveDomain(conn, name)
	for _, v := range created {
		err = errors.Join(err, storage.DeleteVolume(conn, v.Pool, v.Name))
	}
	return err
}

// replaceUnlinked creates the volumes of a running clone that do not exist. It ignores errors:
// the clone can be removed nevertheless.
func replaceUnlinked(conn *libvirt.Connect, clone string) (created []storage.VolumeRef) {
	domain, err := conn.LookupDomainByName(clone)
	if err != nil {
		return nil
	}
	defer domain.Free()
	if active, err := domain.IsActive(); err != nil || !active {
		return nil
	}
	definition, err := virt.ReadDefinition(domain, 0)
	if err != nil || definition.Devices == nil {
		return nil
	}
	pools, err := storage.FilePools(conn)
	if err != nil {
		return nil
	}
	for _, disk := range definition.Devices.Disks {
		v := volumeOf(clone, disk, pools)
		if v.Name == "" {
			continue
		}
		if found, err := storage.VolumePath(conn, v); err == nil && found == "" && storage.CreateEmpty(conn, v.Pool, v.Name) == nil {
			created = append(created, v)
		}
	}
	return created
}

// volumeOf returns the volume of a clone that is a disk. It is empty for other disks.
func volumeOf(clone string, disk libvirtxml.DomainDisk, pools []storage.FilePool) storage.VolumeRef {
	if disk.Source == nil || disk.Source.File == nil {
		return storage.VolumeRef{}
	}
	dir, name := path.Split(disk.Source.File.File)
	made, ok := owner.ParseName(name)
	n := slices.IndexFunc(pools, func(p storage.FilePool) bool { return path.Clean(p.Dir) == path.Clean(dir) })
	if !ok || made.Clone != clone || n < 0 {
		return storage.VolumeRef{}
	}
	return storage.VolumeRef{Pool: pools[n].Name, Name: name}
}

// CollectAtStart removes what earlier runs left, before a process creates its first
// clone. It prints what it removed, and errors, to standard error.
func CollectAtStart(ctx context.Context, conn *libvirt.Connect, url string) {
	owner.ForgetEnded()
	removed, err := Collect(ctx, conn, Options{})
	for _, r := range removed {
		fmt.Fprintf(os.Stderr, "overcast: removed what an earlier run left at %s: %v\n", redact.Text(url), r)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "overcast: removing what earlier runs left at %s: %v; overcast gc tries again\n", redact.Text(url), err)
	}
}
