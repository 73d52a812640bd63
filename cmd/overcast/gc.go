package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/overcast-go/overcast/provider/libvirt"
	"github.com/spf13/cobra"
)

func gcCommand() *cobra.Command {
	var at hypervisors
	dryRun := false
	command := &cobra.Command{
		Use:   "gc [LABEL]... [--dry-run] [-c URL]...",
		Short: "remove what no living run owns, including clones that were kept",
		Long: `gc removes what overcast has created and whose process has ended, including
clones that were kept for inspection, and prints a line for each. What overcast
has not created, and what a living process owns, is never touched. A process on
another machine counts as alive until it has not renewed its clone's lease in
time (ownerLease).`,
		Example: `  overcast gc --dry-run                 # print what would be removed
  overcast gc nat_host                  # only what belongs to that host
  overcast gc -c qemu+ssh://root@big/system`,
		ValidArgsFunction: completeLabels,
		RunE: func(cmd *cobra.Command, labels []string) error {
			urls, err := at.list(cmd.Context())
			if err != nil {
				return err
			}
			return collect(cmd.Context(), cmd.OutOrStdout(), urls, labels, dryRun)
		},
	}
	command.Flags().BoolVar(&dryRun, "dry-run", false, "remove nothing, print what would be removed")
	at.addFlag(command)
	return command
}

// collect removes what overcast created and whose owner has ended, on every
// hypervisor. A hypervisor that fails does not stop the others.
func collect(ctx context.Context, stdout io.Writer, urls, labels []string, dryRun bool) error {
	if len(labels) == 0 {
		labels = []string{""} // all
	}
	verb := "removed"
	if dryRun {
		verb = "would remove"
	}
	var errs []error
	for _, url := range urls {
		for _, label := range labels {
			gone, err := libvirt.GC(ctx, url, libvirt.GCOptions{Label: label, DryRun: dryRun, Kept: true})
			for _, m := range gone {
				fmt.Fprintf(stdout, "%s %v\n", verb, m)
			}
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
