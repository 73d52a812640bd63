package gc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"

	"github.com/overcast-go/overcast/internal/redact"
	"github.com/overcast-go/overcast/provider/libvirt/internal/owner"
	"github.com/overcast-go/overcast/provider/libvirt/internal/storage"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
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
		return virt.RemoveDomain(conn, m.Name)
	case "volume":
		return storage.DeleteVolume(conn, m.Pool, m.Name)
	}
	return storage.DestroyPool(conn, m.Name)
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
