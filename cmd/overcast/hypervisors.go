package main

import (
	"context"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/hocon"
)

// defaultHypervisor is where hosts are that do not say where they are.
const defaultHypervisor = "qemu:///system"

// options are those of the commands that look at hypervisors.
type options struct {
	json, dryRun bool
	urls         []string // to look at; those of the configuration if empty
}

// parseOptions reads a command's arguments; flags that it does not take, by
// their names, are a command line that makes no sense.
func parseOptions(args []string, takes ...string) (options, error) {
	var o options
	for len(args) > 0 {
		name := "-" + strings.TrimLeft(args[0], "-")
		if !strings.HasPrefix(args[0], "-") || !slices.Contains(takes, name) {
			return options{}, errUsage
		}
		args = args[1:]
		switch name {
		case "-json":
			o.json = true
		case "-dry-run":
			o.dryRun = true
		case "-c":
			if len(args) == 0 {
				return options{}, errUsage
			}
			o.urls, args = append(o.urls, args[0]), args[1:]
		}
	}
	return o, nil
}

// hypervisors are those that were named, or else those of all hosts of the
// configuration, each once.
func (o options) hypervisors() ([]string, error) {
	if len(o.urls) > 0 {
		return o.urls, nil
	}
	config, err := fixture.Load()
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

// hypervisorOf is where the host of a section is, or "" for a section that is
// no libvirt host's.
func hypervisorOf(section *hocon.Value) string {
	if section.Kind() != hocon.Object {
		return ""
	}
	if url, ok := section.Get("libvirtURL"); ok && url.Kind() == hocon.String {
		text, _ := url.Text() // a string has a text
		return text
	}
	for _, key := range []string{"libvirtBaseDomain", "baseDomain"} {
		if _, ok := section.Get(key); ok {
			return defaultHypervisor
		}
	}
	return ""
}

// untilStopped is a context that ends when a person stops the command.
func untilStopped() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
}
