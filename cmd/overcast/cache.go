package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/overcast-go/overcast/internal/image"
	"github.com/overcast-go/overcast/internal/redact"
	"github.com/overcast-go/overcast/provider/libvirt"
	"github.com/spf13/cobra"
)

func cacheCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "cache",
		Short: "list or remove layers: imported images, provisioned hosts, warm slots",
		Example: `  overcast cache ls
  overcast cache prune --all`,
		Args: cobra.ArbitraryArgs,
		RunE: requireCommand,
	}
	command.AddCommand(cacheListCommand(), cachePruneCommand())
	return command
}

// requireCommand is what a group of commands does without the name of one.
func requireCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usagef("a command is missing: %s", names(cmd))
	}
	return unknownCommand(cmd, args[0])
}

// listedLayer is a layer and its hypervisor.
type listedLayer struct {
	URL string `json:"url"`
	libvirt.Layer
}

func cacheListCommand() *cobra.Command {
	return layerListCommand("list layers: imported images, provisioned hosts, warm slots", "cache", func(libvirt.Layer) bool { return true })
}

// layerListCommand is the command ls of a group, for some layers.
func layerListCommand(short, group string, listed func(libvirt.Layer) bool) *cobra.Command {
	var at hypervisors
	asJSON := false
	command := &cobra.Command{
		Use:   "ls [--json] [-c URL]...",
		Short: short,
		Example: fmt.Sprintf(`  overcast %s ls
  overcast %[1]s ls --json -c qemu:///system`, group),
		Args:              arguments(0, 0, ""),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			urls, err := at.list(cmd.Context())
			if err != nil {
				return err
			}
			all := []listedLayer{}
			var errs []error // a hypervisor that fails does not stop the others
			for _, url := range urls {
				found, err := libvirt.ListLayers(cmd.Context(), url)
				errs = append(errs, err)
				for _, l := range found {
					if listed(l) {
						all = append(all, listedLayer{redact.Text(url), l})
					}
				}
			}
			if asJSON {
				return errors.Join(append(errs, printJSON(cmd.OutOrStdout(), all))...)
			}
			return errors.Join(append(errs, layerTable(cmd.OutOrStdout(), all, time.Now()))...)
		},
	}
	command.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	at.addFlag(command)
	return command
}

// layerTable prints layers as a table. It prints nothing without layers.
func layerTable(out io.Writer, all []listedLayer, now time.Time) error {
	if len(all) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "KEY\tKIND\tLABEL\tPARENT\tSIZE\tAGE\tLAST USE\tIN USE BY\tAT")
	for _, l := range all {
		if l.Kind == libvirt.KindJava {
			fmt.Fprintf(w, "%s\t%s\tOvercast for Java\t%s\t-\t%v\t-\t-\t%s\n", l.Name, l.Kind, l.Parent, now.Sub(l.Built).Round(time.Second), l.URL)
			continue
		}
		users := "-"
		if len(l.UsedBy) > 0 {
			users = strings.Join(l.UsedBy, ", ")
		}
		fmt.Fprintf(w, "%.12s\t%s\t%s\t%s\t%.1f MiB\t%v\t%v ago\t%s\t%s\n", l.Key, l.Kind, l.Label, l.Parent, float64(l.Bytes)/(1<<20),
			now.Sub(l.Built).Round(time.Second), now.Sub(l.Used).Round(time.Second), users, l.URL)
	}
	return w.Flush()
}

func cachePruneCommand() *cobra.Command {
	var at hypervisors
	all, age := false, libvirt.DefaultCacheMaxAge
	command := &cobra.Command{
		Use:   "prune [LAYER]... [--all | --older-than DURATION] [-c URL]...",
		Short: "remove layers that were not used for 14 days, or those that are named",
		Long: `prune removes the layers (imported images, provisioned hosts, warm slots) that no
domain and no volume uses and that no set-up has used for 14 days, and prints a line for
each. The next set-up that needs one imports or builds it again. Set-ups remove layers,
too, by the limits cacheMaxAge and cacheMaxSize of the configuration. prune also removes
images that were downloaded or decompressed to the user's cache folder and that no import
has used for this time.

LAYER is the key of a layer, or its start, as "overcast cache ls" prints it. Layers that are
named are removed also if they were used lately, but not while they are in use.`,
		Example: `  overcast cache prune
  overcast cache prune 3f2a5b6c7d8e
  overcast cache prune --older-than 48h
  overcast cache prune --all`,
		ValidArgsFunction: at.completeLayers,
		RunE: func(cmd *cobra.Command, keys []string) error {
			if len(keys) > 0 && (all || cmd.Flags().Changed("older-than")) {
				return usagef("unexpected argument %q with --all or --older-than", keys[0])
			}
			if slices.Contains(keys, "") {
				return usagef("a LAYER is empty, which all keys start with: use --all to remove all layers")
			}
			urls, err := at.list(cmd.Context())
			if err != nil {
				return err
			}
			if len(keys) > 0 {
				return removeNamed(cmd.Context(), cmd.OutOrStdout(), urls, keys)
			}
			unusedSince := time.Now().Add(-age)
			if all {
				age, unusedSince = 0, time.Now().Add(time.Minute) // also with another clock
			}
			return errors.Join(
				prune(cmd.Context(), cmd.OutOrStdout(), urls, unusedSince),
				pruneDownloads(cmd.Context(), cmd.OutOrStdout(), age))
		},
	}
	command.Flags().BoolVar(&all, "all", false, "remove all layers that are not in use")
	command.Flags().DurationVar(&age, "older-than", libvirt.DefaultCacheMaxAge, "remove layers that were not used for this `DURATION`")
	command.MarkFlagsMutuallyExclusive("all", "older-than")
	at.addFlag(command)
	return command
}

// completeLayers completes every argument with the keys of the layers of the hypervisors.
func (h *hypervisors) completeLayers(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return h.complete(cmd, func(url string) (keys []string) {
		found, _ := libvirt.ListLayers(cmd.Context(), url)
		for _, l := range found {
			if key := fmt.Sprintf("%.12s", l.Key); key != "" && !slices.Contains(args, key) {
				keys = append(keys, cobra.CompletionWithDesc(key, l.Label+" "+l.Parent))
			}
		}
		return keys
	})
}

// removeNamed removes the layers whose keys start with the given ones, at all hypervisors
// that have them.
func removeNamed(ctx context.Context, stdout io.Writer, urls, keys []string) error {
	found := map[string][]libvirt.Layer{} // by URL
	var all []libvirt.Layer
	var errs []error // a hypervisor that fails does not stop the others
	for _, url := range urls {
		layers, err := libvirt.ListLayers(ctx, url)
		errs = append(errs, err)
		found[url], all = layers, append(all, layers...)
	}
	for _, start := range keys {
		key, err := fullKey(start, all)
		if err != nil {
			errs = append(errs, fmt.Errorf("removing layer %s: %w", start, err))
			continue
		}
		for _, url := range urls {
			errs = append(errs, removeKey(ctx, stdout, url, found[url], key))
		}
	}
	return errors.Join(errs...)
}

// fullKey returns the key that begins with a text.
func fullKey(start string, all []libvirt.Layer) (string, error) {
	var keys []string
	for _, l := range all {
		if l.Key != "" && strings.HasPrefix(l.Key, start) && !slices.Contains(keys, l.Key) {
			keys = append(keys, l.Key)
		}
	}
	switch len(keys) {
	case 0:
		return "", errors.New("no hypervisor has it: overcast cache ls lists the layers")
	case 1:
		return keys[0], nil
	}
	return "", fmt.Errorf("%d layers have a key that starts so: give more of the key", len(keys))
}

// removeKey removes the layer with a key from a hypervisor that has these layers.
func removeKey(ctx context.Context, stdout io.Writer, url string, layers []libvirt.Layer, key string) error {
	n := slices.IndexFunc(layers, func(l libvirt.Layer) bool { return l.Key == key })
	if n < 0 {
		return nil
	}
	if by := layers[n].UsedBy; len(by) > 0 {
		return fmt.Errorf("removing layer %.12s at %s: it is in use by %s", key, redact.Text(url), strings.Join(by, ", "))
	}
	removed, err := libvirt.RemoveLayers(ctx, url, key)
	printRemoved(stdout, removed)
	return err
}

func printRemoved(stdout io.Writer, removed []libvirt.Layer) {
	for _, l := range removed {
		fmt.Fprintf(stdout, "removed %s (%s)\n", l.Name, l.Parent)
	}
}

// prune removes layers of all hypervisors.
func prune(ctx context.Context, stdout io.Writer, urls []string, unusedSince time.Time) error {
	var errs []error // a hypervisor that fails does not stop the others
	for _, url := range urls {
		removed, err := libvirt.PruneLayers(ctx, url, unusedSince)
		printRemoved(stdout, removed)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// pruneDownloads removes the files that imports of images have left in the user's cache
// folder, if they were not used for a time.
func pruneDownloads(ctx context.Context, stdout io.Writer, unused time.Duration) error {
	dir, err := image.DefaultDir()
	if err != nil {
		return err
	}
	freed, err := (&image.Cache{Dir: dir}).Prune(ctx, unused)
	if freed >= 1<<20 { // less is a record of a digest
		fmt.Fprintf(stdout, "removed %.1f MiB of downloaded images from %s\n", float64(freed)/(1<<20), dir)
	}
	return err
}

func imageCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "image",
		Short: "import images ahead of a test run, or list them",
		Example: `  overcast image import images/debian-12.qcow2
  overcast image ls`,
		Args: cobra.ArbitraryArgs,
		RunE: requireCommand,
	}
	command.AddCommand(imageImportCommand(),
		layerListCommand("list the images that hypervisors have imported", "image", func(l libvirt.Layer) bool { return l.Kind == libvirt.KindImage }))
	return command
}

func imageImportCommand() *cobra.Command {
	var at hypervisors
	var digest, pool string
	command := &cobra.Command{
		Use:   "import [--sha256 DIGEST] [--pool POOL] [-c URL]... FILE|URL",
		Short: "import an image into a pool of the hypervisors",
		Long: `import does what the first set-up of a host with this image would do: it
downloads and unpacks the image, and uploads it to a pool. A hypervisor that
has the image keeps it. A later set-up finds it by its digest.`,
		Example: `  overcast image import images/debian-12.qcow2
  overcast image import --sha256 5f70bf18a08660... https://example.org/debian.qcow2`,
		Args: arguments(1, 1, "an image (FILE or URL)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			urls, err := at.list(cmd.Context())
			if err != nil {
				return err
			}
			var errs []error // a hypervisor that fails does not stop the others
			for _, url := range urls {
				l, err := libvirt.ImportImage(cmd.Context(), url, pool, args[0], digest)
				if err == nil {
					_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s has image %s as %s\n", redact.Text(url), l.Parent, l.Name)
				}
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		},
	}
	command.Flags().StringVar(&digest, "sha256", "", "`DIGEST` that the file of a URL must have, or none")
	command.Flags().StringVar(&pool, "pool", "", "`POOL` of the image (default the pool default)")
	_ = command.RegisterFlagCompletionFunc("pool", at.completePools) // the flag exists
	at.addFlag(command)
	return command
}
