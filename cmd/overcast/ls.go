package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/overcast-go/overcast/provider/libvirt"
	"github.com/spf13/cobra"
)

// listed is a resource and its hypervisor.
type listed struct {
	URL string `json:"url"`
	libvirt.Resource
}

func lsCommand() *cobra.Command {
	var at hypervisors
	asJSON := false
	command := &cobra.Command{
		Use:   "ls [--json] [-c URL]...",
		Short: "list what overcast has created, and what gc would do about it",
		Long: `ls lists what overcast has created on the hypervisors that the configuration
names, or at each URL: domains and volumes, their owners, and what gc would do
about them. Domains that Overcast for Java has created are listed, too.`,
		Example: `  overcast ls
  overcast ls --json -c qemu:///system`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			urls, err := at.list(cmd.Context())
			if err != nil {
				return err
			}
			all, err := resources(cmd.Context(), urls)
			if asJSON {
				return errors.Join(err, printJSON(cmd.OutOrStdout(), all))
			}
			return errors.Join(err, table(cmd.OutOrStdout(), all))
		},
	}
	command.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	at.addFlag(command)
	return command
}

// resources lists what overcast created on every hypervisor. A hypervisor that
// fails does not stop the others.
func resources(ctx context.Context, urls []string) ([]listed, error) {
	all := []listed{}
	var errs []error
	for _, url := range urls {
		made, err := libvirt.List(ctx, url)
		errs = append(errs, err)
		for _, m := range made {
			all = append(all, listed{hideSecrets(url), m})
		}
	}
	return all, errors.Join(errs...)
}

func printJSON(out io.Writer, v any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

func table(out io.Writer, all []listed) error {
	if len(all) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "KIND\tNAME\tLABEL\tBASE OR POOL\tSTATE\tAGE\tOWNER\tAT\tOVERCAST GC")
	for _, m := range all {
		state := cmp.Or(m.State, "-")
		if m.Kept {
			state += ", kept"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s, %s\t%s\t%s\n", m.Kind, m.Name, cmp.Or(m.Label, "-"), cmp.Or(m.Parent, m.Pool, "-"),
			state, age(m.Created), m.Owner, m.OwnerState, m.URL, verdict(m.Resource))
	}
	return w.Flush()
}

// verdict is what overcast gc does.
func verdict(r libvirt.Resource) string {
	if r.SkipReason == "" {
		return "removes it"
	}
	return "keeps it: " + r.SkipReason
}

// age is the time since something was created, in two units.
func age(created time.Time) string {
	if created.IsZero() {
		return "-"
	}
	switch d := time.Since(created); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%dm", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
	}
}
