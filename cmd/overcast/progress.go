package main

import (
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

func progressCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "progress",
		Short: "ask the running tests of this user for a progress report",
		Long: `progress sends SIGUSR1 to each Go test process of this user that uses overcast. Ginkgo
then prints a progress report to the output of the test: the running spec, and for each
host what its set-up waits for and the last line of its console. A test without Ginkgo
ignores the signal. It needs /proc, so it works on Linux.`,
		Example: `  overcast progress`,
		Args:    arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			tests, err := runningTests("/proc")
			if err != nil {
				return err
			}
			if len(tests) == 0 {
				return errors.New("asking for progress: no test process of this user uses overcast")
			}
			var errs []error
			for _, t := range tests {
				if err := syscall.Kill(t.pid, syscall.SIGUSR1); err != nil {
					errs = append(errs, fmt.Errorf("asking process %d (%s): %w", t.pid, t.name, err))
					continue
				}
				fmt.Fprintf(cmd.OutOrStdout(), "asked process %d (%s): see its output\n", t.pid, t.name)
			}
			return errors.Join(errs...)
		},
	}
}

// overcastModule is the module of this program.
const overcastModule = "github.com/overcast-go/overcast"

// testProcess is a Go test that runs.
type testProcess struct {
	pid  int
	name string // of its program
}

// runningTests returns the test processes of this user that use overcast.
func runningTests(proc string) ([]testProcess, error) {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	var tests []testProcess
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() || !isOwn(entry) {
			continue
		}
		exe := filepath.Join(proc, entry.Name(), "exe")
		target, err := os.Readlink(exe)
		name := strings.TrimSuffix(filepath.Base(target), " (deleted)") // go test removes a program that runs
		if err == nil && strings.HasSuffix(name, ".test") && usesOvercast(exe) {
			tests = append(tests, testProcess{pid, name})
		}
	}
	return tests, nil
}

// isOwn reports whether a process belongs to this user.
func isOwn(entry os.DirEntry) bool {
	info, err := entry.Info()
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Getuid()
}

// usesOvercast reports whether a Go program has a module of overcast in it.
func usesOvercast(exe string) bool {
	info, err := buildinfo.ReadFile(exe)
	if err != nil {
		return false
	}
	return info.Main.Path == overcastModule ||
		slices.ContainsFunc(info.Deps, func(m *debug.Module) bool { return m.Path == overcastModule })
}
