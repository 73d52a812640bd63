package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/overcast-go/overcast/provider/libvirt"
)

// gcCommand removes what overcast created and whose owner has ended, on every
// hypervisor. A hypervisor that fails does not stop the others.
func gcCommand(args []string, stdout io.Writer) error {
	o, err := parseOptions(args, "-dry-run", "-c")
	if err != nil {
		return err
	}
	urls, err := o.hypervisors()
	if err != nil {
		return err
	}
	ctx, stop := untilStopped()
	defer stop()
	verb := "removed"
	if o.dryRun {
		verb = "would remove"
	}
	var errs []error
	for _, url := range urls {
		gone, err := libvirt.GC(ctx, url, libvirt.GCOptions{DryRun: o.dryRun, Kept: true})
		for _, m := range gone {
			fmt.Fprintf(stdout, "%s %v\n", verb, m)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
