package libvirt

import (
	"context"
	"errors"
	"fmt"
	"os"

	"libvirt.org/go/libvirt"
)

// SweepOptions say how thorough a sweep is.
type SweepOptions struct {
	// DryRun removes nothing.
	DryRun bool
	// Kept removes clones, too, that were left for a person to look at, if
	// their process has ended.
	Kept bool
}

// Sweep removes from a hypervisor what overcast has made and nobody owns any
// more: by its metadata or name it is overcast's, and the process that made it
// is gone. A process on another machine, or in another container, cannot be
// seen: its domains are removed when it has not renewed their lease
// (ownerLease), and its volumes when no domain uses them and they have not
// changed for a day. What overcast did not make is never touched.
//
// The answer is what was removed, or would be in a dry run, also if there is an
// error: what cannot be removed does not keep the rest from going.
func Sweep(ctx context.Context, url string, options SweepOptions) ([]Made, error) {
	pool := newConnections()
	on, release, err := pool.acquire(ctx, url)
	if err != nil {
		return nil, err
	}
	defer release()
	removed, err := sweep(ctx, on.conn, options)
	if err != nil {
		err = fmt.Errorf("sweeping %s: %w", shownURL(url), err)
	}
	return removed, err
}

func sweep(ctx context.Context, conn *libvirt.Connect, options SweepOptions) ([]Made, error) {
	made, err := survey(conn, options)
	var removed []Made
	errs := []error{err}
	for _, m := range made {
		if m.Left != "" {
			continue
		}
		if !options.DryRun {
			if err := bounded(ctx, conn, func() error { return remove(conn, m) }); err != nil {
				errs = append(errs, fmt.Errorf("removing %s %s: %w", m.Kind, m.Name, said(err)))
				continue
			}
		}
		removed = append(removed, m)
	}
	return removed, errors.Join(errs...)
}

func remove(conn *libvirt.Connect, m Made) error {
	switch m.Kind {
	case "domain":
		return removeDomain(conn, m.Name)
	case "volume":
		return deleteVolume(conn, m.Pool, m.Name)
	}
	return stopPool(conn, m.Name)
}

// sweepAtStart sweeps before the first clone of a process is made. What it
// cannot do is no reason not to make the clone; it is told on standard error,
// as is what it did.
func sweepAtStart(ctx context.Context, on *connection) {
	removed, err := sweep(ctx, on.conn, SweepOptions{})
	for _, m := range removed {
		fmt.Fprintf(os.Stderr, "overcast: removed what an earlier run left at %s: %v\n", shownURL(on.url), m)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "overcast: removing what earlier runs left at %s: %v; overcast gc tries again\n", shownURL(on.url), err)
	}
}
