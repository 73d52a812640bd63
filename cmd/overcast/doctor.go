package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/hocon"
	"github.com/overcast-go/overcast/internal/editdistance"
	"github.com/overcast-go/overcast/internal/host"
	"github.com/overcast-go/overcast/internal/redact"
	"github.com/overcast-go/overcast/provider"
	"github.com/spf13/cobra"
)

func doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor [LABEL]...",
		Short: "check what hosts depend on, and say what to do",
		Long: `doctor checks everything that the hosts of the labels depend on, or every host of
the configuration. For a libvirt host, it plans a clone as set-up does, and reports
each step: configuration, login, connection, base domain, permissions, devices,
disks, pool, firmware, TPM, folders and memory. Then it checks /dev/kvm, console,
network, the look-up of the address, and how the host is reached. It logs in to an
existing machine (hostname). It prints a line for each check, "ok", "WARN" or "FAILED"
first; a line that is not "ok" says what to do. What depends on a failed step is not
checked.
No clone, volume or network is created.`,
		Example: `  overcast doctor            # every host
  overcast doctor nat_host`,
		ValidArgsFunction: completeLabels,
		RunE: func(cmd *cobra.Command, args []string) error {
			return doctor(cmd.Context(), cmd.OutOrStdout(), args)
		},
	}
}

// doctor prints a line for each check of the hosts, of all hosts if there are no
// labels.
func doctor(ctx context.Context, stdout io.Writer, labels []string) error {
	config, err := fixture.Load(fixture.WithContext(ctx))
	if err != nil {
		return err
	}
	noteMissingIncludes(stdout, config, findSecrets(config.Root(), true))
	if len(labels) == 0 {
		labels = config.Hosts()
	}
	if len(labels) == 0 {
		return noHosts(config)
	}
	healthy := true
	for _, label := range labels {
		for _, result := range check(ctx, config, label) {
			verdict, text := "ok", result.Detail
			if result.Warning != "" {
				verdict, text = "WARN", result.Warning
			}
			if result.Err != nil {
				verdict, healthy = "FAILED", false
				text = result.Err.Error()
			}
			fmt.Fprintf(stdout, "%-6s  %s: %s: %s\n", verdict, label, result.Name, redact.Text(text))
		}
	}
	if !healthy {
		return errChecksFailed
	}
	return nil
}

// errNoConfiguration is the error if no source of the configuration exists.
var errNoConfiguration = errors.New("no configuration was found: write ./overcast.conf (overcast init does), or set OVERCAST_CONF to the path of a file")

// noHosts is the error of a configuration that declares no host.
func noHosts(config *fixture.Config) error {
	if len(config.Files()) == 0 {
		return errNoConfiguration
	}
	problem := fmt.Sprintf("the configuration declares no host (read from %s)", strings.Join(config.Files(), ", "))
	if hint := misplacedHost(config.Root()); hint != "" {
		return fmt.Errorf("%s: %s", problem, hint)
	}
	return fmt.Errorf("%s: add a section with the key libvirtBaseDomain, image or hostname", problem)
}

// misplacedHost returns a hint at a key that may be meant to declare a host: a misspelt one,
// or one outside a section. It is "" if there is none.
func misplacedHost(root *hocon.Value) string {
	known := []string{"libvirtBaseDomain", "baseDomain", "image", "hostname"}
	for _, label := range root.Keys() {
		section, _ := root.Get(label)
		if slices.Contains(known, label) {
			return fmt.Sprintf("%v: the key %s is outside a section: write LABEL { %[2]s = ... }", section.KeyPosition(), label)
		}
		if section.Kind() != hocon.Object {
			continue
		}
		for _, key := range section.Keys() {
			if near := editdistance.Nearest(key, known, len(key)/3); near != "" {
				value, _ := section.Get(key)
				return fmt.Sprintf("%v: %s: unknown key %q, did you mean %q?", value.KeyPosition(), label, key, near)
			}
		}
	}
	return ""
}

// errChecksFailed is the error when the output has shown what is wrong.
var errChecksFailed = errors.New("checks failed")

// check checks the configuration of a host and everything that the host depends on.
func check(ctx context.Context, config *fixture.Config, label string) []provider.Result {
	const name = "configuration"
	section, err := config.Section(label)
	if err != nil {
		return []provider.Result{{Name: name, Err: fmt.Errorf("%w: declare the host, or correct the label", err)}}
	}
	results, err := host.Check(ctx, label, section)
	if err != nil {
		return []provider.Result{{Name: name, Err: fmt.Errorf("%w: correct that line", err)}}
	}
	return append([]provider.Result{{Name: name, Detail: strings.Join(config.Files(), ", ")}}, results...)
}
