package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/internal/host"
	"github.com/overcast-go/overcast/provider"
	"github.com/spf13/cobra"
)

func warmCommand() *cobra.Command {
	slots := 1
	command := &cobra.Command{
		Use:   "warm LABEL [--slots N]",
		Short: "save the memory of hosts, so that later runs do not boot them",
		Long: `warm boots --slots hosts of the label at the same time, saves the memory of each, and
removes them. A later run of as many test processes restores its hosts from these slots
instead of booting them, for instance on a CI machine. Slots that exist are restored, as
a check. The section of the host must have warm = true. warm fails if the memory of a host
cannot be saved.`,
		Example:           `  overcast warm nat_host --slots 4`,
		Args:              arguments(1, 1, "a label"),
		ValidArgsFunction: completeLabels,
		RunE: func(cmd *cobra.Command, args []string) error {
			if slots < 1 {
				return usagef("--slots must be at least 1")
			}
			out := &lockedWriter{out: cmd.OutOrStdout()}
			ctx := fixture.WithProgress(cmd.Context(), func(p fixture.Progress) { fmt.Fprintln(out, p) })
			return warmUp(ctx, args[0], slots)
		},
	}
	command.Flags().IntVar(&slots, "slots", slots, "make `N` slots")
	return command
}

// checkWarm checks that a host can have that many slots.
func checkWarm(p host.Prepared, slots int) error {
	switch {
	case p.Common().WarmPolicy():
	case os.Getenv("OVERCAST_CACHE") == provider.CacheOff:
		return errors.New("the environment has OVERCAST_CACHE=off, with which no host is warm: unset it")
	default:
		return errors.New("warm is not set: write warm = true in its section")
	}
	if slots > 1 && host.IsExclusive(p.Instance) {
		return errors.New("a host with a static address has one slot: leave out --slots")
	}
	return nil
}

// warmUp sets up that many hosts of a label, and removes them once all are up.
func warmUp(ctx context.Context, label string, slots int) error {
	prepare := preparer(ctx)
	prepared, err := prepare(label)
	if err != nil {
		return err
	}
	if err := checkWarm(prepared, slots); err != nil {
		return fmt.Errorf("saving the memory of %s: %w", label, err)
	}
	if err := ownHosts(); err != nil {
		return err
	}
	registry := host.NewRegistry()
	errs := make([]error, slots)
	var settingUp sync.WaitGroup
	for n := range slots {
		settingUp.Go(func() {
			one := fmt.Sprintf("%s[%d]", label, n)
			errs[n] = registry.SetUp(ctx, []string{one}, func(string) (host.Prepared, error) { return prepare(label) }, host.SetupOptions{})
			if h := registry.Get(one); errs[n] == nil && !h.IsRestored() {
				errs[n] = fmt.Errorf(`saving the memory of %s: there is no slot of it: its line with "%s" or "%s" says why`, one, provider.StepNotWarm, provider.StepDiscardedMemory)
			}
		})
	}
	settingUp.Wait()
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), host.TeardownTimeout)
	defer cancel()
	for n := range slots {
		errs = append(errs, registry.TearDown(end, fmt.Sprintf("%s[%d]", label, n)))
	}
	return errors.Join(errs...)
}
