package main

import (
	"slices"

	"github.com/overcast-go/overcast/fixture"
	"github.com/spf13/cobra"
)

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
