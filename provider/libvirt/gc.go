package libvirt

import (
	"context"
	"errors"
	"fmt"
	"os"

	"libvirt.org/go/libvirt"
)

// gcOptions are the options of garbage collection.
type gcOptions struct {
	dryRun bool // remove nothing
	kept   bool // also remove clones that were left for inspection, if their process has ended
}

// collect removes what overcast created and whose owner has ended, and returns what
// it removed, also with an error. With dryRun it removes nothing.
func collect(ctx context.Context, conn *libvirt.Connect, options gcOptions) ([]foundResource, error) {
	made, err := list(conn, options)
	var removed []foundResource
	errs := []error{err}
	for _, m := range made {
		if m.SkipReason != "" {
			continue
		}
		if !options.dryRun {
			if err := bounded(ctx, conn, func() error { return remove(conn, m.foundResource) }); err != nil {
				errs = append(errs, fmt.Errorf("removing %s %s: %w", m.Kind, m.Name, said(err)))
				continue
			}
		}
		removed = append(removed, m.foundResource)
	}
	return removed, errors.Join(errs...)
}

func remove(conn *libvirt.Connect, m foundResource) error {
	switch m.Kind {
	case "domain":
		return removeDomain(conn, m.Name)
	case "volume":
		return deleteVolume(conn, m.Pool, m.Name)
	}
	return stopPool(conn, m.Name)
}

// collectAtStart removes what earlier runs left, before the first clone of a process
// is created. It prints what it did to standard error; a failure is no reason not to
// create the clone.
func collectAtStart(ctx context.Context, conn *libvirt.Connect, url string) {
	removed, err := collect(ctx, conn, gcOptions{})
	for _, r := range removed {
		fmt.Fprintf(os.Stderr, "overcast: removed what an earlier run left at %s: %v\n", shownURL(url), r)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "overcast: removing what earlier runs left at %s: %v; overcast gc tries again\n", shownURL(url), err)
	}
}
