package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/overcast-go/overcast/provider/libvirt"
)

// gcCommand removes what overcast has made and nobody owns any more, on every
// hypervisor. One that fails does not keep the others from being swept.
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
		gone, err := libvirt.Sweep(ctx, url, libvirt.SweepOptions{DryRun: o.dryRun, Kept: true})
		for _, m := range gone {
			fmt.Fprintf(stdout, "%s %v\n", verb, m)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
