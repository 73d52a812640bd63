package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/internal/host"
	"github.com/overcast-go/overcast/internal/standing"
	"github.com/spf13/cobra"
)

func screenshotCommand() *cobra.Command {
	var file string
	command := &cobra.Command{
		Use:   "screenshot LABEL [-o FILE]",
		Short: "save the screen of a running host as a PNG file",
		Example: `  overcast screenshot nat_host
  overcast screenshot nat_host -o boot.png`,
		Args:              arguments(1, 1, "a label"),
		ValidArgsFunction: completeLabel,
		RunE: func(cmd *cobra.Command, args []string) error {
			return withRunning(cmd.Context(), args[0], func(h *host.Host) error {
				png, err := h.Screenshot(cmd.Context())
				if err != nil {
					return fmt.Errorf("%s: %w", args[0], err)
				}
				if file == "" {
					file = args[0] + ".png"
				}
				if err := os.WriteFile(file, png, 0o644); err != nil {
					return err
				}
				_, err = fmt.Fprintln(cmd.OutOrStdout(), file)
				return err
			})
		},
	}
	command.Flags().StringVarP(&file, "output", "o", "", "`FILE` to write (default LABEL.png)")
	return command
}

func consoleCommand() *cobra.Command {
	force := false
	command := &cobra.Command{
		Use:   "console LABEL [--force]",
		Short: "show and open the serial console of a running host",
		Long: `console opens the serial console of a clone with virsh; Ctrl-] ends it. For a host of
"overcast up" it first prints the last lines of the console. The process that has set
another host up reads its console for the reports of failures, so --force takes the console
away from it.`,
		Example: `  overcast console nat_host
  overcast console nat_host --force`,
		Args:              arguments(1, 1, "a label"),
		ValidArgsFunction: completeLabel,
		RunE: func(cmd *cobra.Command, args []string) error {
			url, err := urlOf(cmd, args[0])
			if err != nil {
				return err
			}
			return withRunning(cmd.Context(), args[0], func(h *host.Host) error {
				return openConsole(cmd, args[0], h, url, force)
			})
		},
	}
	command.Flags().BoolVar(&force, "force", false, "take the console away from the process that reads it")
	return command
}

// openConsole prints the history of the console of a host and opens the console.
func openConsole(cmd *cobra.Command, label string, h *host.Host, url string, force bool) error {
	if h.ID() == "" {
		return fmt.Errorf("opening the console of %s: it is not a clone", label)
	}
	all, err := standing.List()
	if err != nil {
		return err
	}
	for _, record := range all {
		if record.ID == h.ID() {
			fmt.Fprint(cmd.OutOrStdout(), record.Console())
			force = true // its process needs the console no more
		}
	}
	args := []string{"-c", url, "console", h.ID()}
	if force {
		args = append(args, "--force")
	}
	return runProgram(cmd, "virsh", args...)
}

// urlOf is the hypervisor of a host.
func urlOf(cmd *cobra.Command, label string) (string, error) {
	config, err := fixture.Load(fixture.WithContext(cmd.Context()))
	if err != nil {
		return "", err
	}
	section, err := config.Section(label)
	if err != nil {
		return "", err
	}
	url := hypervisorOf(section)
	if url == "" {
		return "", errors.New(label + " is not a libvirt host")
	}
	return url, nil
}
