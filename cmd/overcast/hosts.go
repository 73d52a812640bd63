package main

import (
	"context"
	"slices"
	"sync"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/hocon"
	"github.com/overcast-go/overcast/internal/host"
	"github.com/overcast-go/overcast/internal/redact"
	"github.com/overcast-go/overcast/provider/libvirt"
	"github.com/spf13/cobra"
)

// defaultHypervisor is the libvirtURL of hosts whose section has none.
const defaultHypervisor = "qemu:///system"

// hypervisors are the URLs of -c.
type hypervisors []string

func (h *hypervisors) addFlag(command *cobra.Command) {
	command.Flags().StringArrayVarP((*[]string)(h), "connect", "c", nil, "`URL` of a hypervisor, as virsh -c takes it (default those of the configuration)")
	_ = command.RegisterFlagCompletionFunc("connect", completeHypervisors) // the flag exists
}

// completeHypervisors completes -c with the hypervisors of the configuration.
func completeHypervisors(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	urls, err := hypervisors(nil).list(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	for n := range urls {
		urls[n] = redact.Text(urls[n])
	}
	return urls, cobra.ShellCompDirectiveNoFileComp
}

// list is the URLs of -c or, without -c, those of all hosts of the configuration,
// each once.
func (h hypervisors) list(ctx context.Context) ([]string, error) {
	if len(h) > 0 {
		return h, nil
	}
	config, err := fixture.Load(fixture.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	var urls []string
	for _, label := range config.Hosts() {
		section, err := config.Section(label)
		if err != nil {
			return nil, err
		}
		if url := hypervisorOf(section); url != "" && !slices.Contains(urls, url) {
			urls = append(urls, url)
		}
	}
	if len(urls) == 0 {
		urls = []string{defaultHypervisor}
	}
	return urls, nil
}

// hypervisorOf is the URL of the hypervisor of a host's section, or "" if it is not
// a libvirt host.
func hypervisorOf(section *hocon.Value) string {
	if section.Kind() != hocon.Object {
		return ""
	}
	if url, ok := section.Get("libvirtURL"); ok && url.Kind() == hocon.String {
		text, _ := url.Text() // a string has a text
		return text
	}
	for _, key := range []string{"libvirtBaseDomain", "baseDomain", "image"} {
		if _, ok := section.Get(key); ok {
			return defaultHypervisor
		}
	}
	return ""
}

// complete completes with what the hypervisors have. A hypervisor that fails has nothing.
func (h *hypervisors) complete(cmd *cobra.Command, at func(url string) []string) ([]string, cobra.ShellCompDirective) {
	urls, err := h.list(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var all []string
	for _, url := range urls {
		all = append(all, at(url)...)
	}
	slices.Sort(all) // cobra reads -c twice
	return slices.Compact(all), cobra.ShellCompDirectiveNoFileComp
}

// completePools completes with the storage pools of the hypervisors.
func (h *hypervisors) completePools(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return h.complete(cmd, func(url string) []string {
		found, _ := libvirt.TakeInventory(cmd.Context(), url)
		return found.Pools
	})
}

// completeLabel completes the first argument with the labels of the configuration.
func completeLabel(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return completeLabels(cmd, args, toComplete)
}

// completeLabels completes every argument with the labels of the configuration
// that are not arguments yet.
func completeLabels(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	config, err := fixture.Load(fixture.WithContext(cmd.Context()))
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	labels := slices.DeleteFunc(config.Hosts(), func(label string) bool { return slices.Contains(args, label) })
	return labels, cobra.ShellCompDirectiveNoFileComp
}

// preparer prepares hosts from the configuration.
func preparer(ctx context.Context) host.Preparer {
	load := sync.OnceValues(func() (*fixture.Config, error) { return fixture.Load(fixture.WithContext(ctx)) })
	return func(label string) (host.Prepared, error) {
		config, err := load()
		if err != nil {
			return host.Prepared{}, err
		}
		section, err := config.Section(label)
		if err != nil {
			return host.Prepared{}, err
		}
		return host.Prepare(label, section)
	}
}

// withRunning calls do with a running host of a label, whatever process has set it
// up.
func withRunning(ctx context.Context, label string, do func(*host.Host) error) error {
	registry := host.Default
	h, err := registry.Reach(ctx, label, preparer(ctx))
	if err != nil {
		return err
	}
	defer func() { _ = registry.TearDown(context.WithoutCancel(ctx), label) }() // forgets it
	return do(h)
}
