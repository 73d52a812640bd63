package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/overcast-go/overcast/internal/ssh"
	"github.com/overcast-go/overcast/provider/libvirt"
)

// listed is a resource and its hypervisor.
type listed struct {
	URL string `json:"url"`
	libvirt.Resource
}

// lsCommand lists what overcast created, on every hypervisor.
func lsCommand(args []string, stdout io.Writer) error {
	o, err := parseOptions(args, "-json", "-c")
	if err != nil {
		return err
	}
	urls, err := o.hypervisors()
	if err != nil {
		return err
	}
	ctx, stop := untilStopped()
	defer stop()
	all := []listed{}
	var errs []error // a hypervisor that fails does not stop the others
	for _, url := range urls {
		made, err := libvirt.List(ctx, url)
		errs = append(errs, err)
		shown, _ := ssh.Redact(url)
		for _, m := range made {
			all = append(all, listed{shown, m})
		}
	}
	if o.json {
		encoder := json.NewEncoder(stdout)
		encoder.SetIndent("", "  ")
		return errors.Join(append(errs, encoder.Encode(all))...)
	}
	return errors.Join(append(errs, table(stdout, all))...)
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
