package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/overcast-go/overcast/internal/redact"
	"github.com/overcast-go/overcast/internal/standing"
	"github.com/overcast-go/overcast/provider/libvirt"
	"github.com/spf13/cobra"
)

// listed is a resource and its hypervisor.
type listed struct {
	URL string `json:"url"`
	libvirt.Resource
	Idle string `json:"idle,omitempty"` // how long no test has used a host that overcast up has set up
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
		Args:              arguments(0, 0, ""),
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
	idle, err := idleTimes()
	errs := []error{err}
	for _, url := range urls {
		made, err := libvirt.List(ctx, url)
		errs = append(errs, err)
		for _, m := range made {
			all = append(all, listed{redact.Text(url), m, idle[m.Name]})
		}
	}
	return all, errors.Join(errs...)
}

// idleTimes are the idle times of the hosts that overcast up has set up, by the names
// of their domains.
func idleTimes() (map[string]string, error) {
	records, err := standing.List()
	times := map[string]string{}
	for _, r := range records {
		times[r.ID] = roundDuration(r.IdleTime())
	}
	return times, err
}

func printJSON(out io.Writer, v any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// table prints two lines for each resource, within the width of a terminal.
func table(out io.Writer, all []listed) error {
	if len(all) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.StripEscape)
	fmt.Fprintln(w, "LABEL\tADDRESS\tSTATE\tAGE\tIDLE\tOWNER")
	for _, m := range all {
		state := cmp.Or(m.State, "-")
		if m.Kept {
			state += ", kept"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s, %s\n", cmp.Or(m.Label, "-"), cmp.Or(m.Address, "-"), state, age(m.Created), cmp.Or(m.Idle, "-"), m.Owner, m.OwnerState)
		for _, line := range wrap(details(m), tableWidth-len(tableIndent)) {
			fmt.Fprintf(w, "%s%s\n", tableIndent, line)
		}
	}
	return w.Flush()
}

const (
	tableWidth  = 100
	tableIndent = "    "
)

// details is the second line of a resource.
func details(m listed) string {
	text := m.Kind + " " + m.Name
	switch {
	case m.Parent != "":
		text += ", clone of " + m.Parent
	case m.Pool != "":
		text += " in pool " + m.Pool
	}
	return text + ", at " + m.URL + "; gc " + verdict(m.Resource)
}

// wrap breaks a text at blanks into lines of at most width bytes, unless a word is
// longer.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return append(lines, line)
}

// verdict is what overcast gc does.
func verdict(r libvirt.Resource) string {
	if r.SkipReason == "" {
		return "removes it"
	}
	return "keeps it: " + r.SkipReason
}

// age is the time since something was created.
func age(created time.Time) string {
	if created.IsZero() {
		return "-"
	}
	return roundDuration(time.Since(created))
}

// roundDuration is a duration in at most two units.
func roundDuration(d time.Duration) string {
	switch {
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

func gcCommand() *cobra.Command {
	var at hypervisors
	dryRun := false
	command := &cobra.Command{
		Use:   "gc [LABEL]... [--dry-run] [-c URL]...",
		Short: "remove what no living run owns, including clones that were kept",
		Long: `gc removes what overcast has created and whose process has ended, including
clones that were kept for inspection, and prints a line for each. What overcast
has not created, and what a living process owns, is never touched. A process on
another machine counts as alive until it has not renewed its ownership of the
clone for ownerLease (15 minutes).`,
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
