package suite

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	"github.com/overcast-go/overcast/internal/host"
	"github.com/overcast-go/overcast/provider"
)

// stepPrinter returns a function that prints a line for each step of a host's
// set-up: to GinkgoWriter, and so to the report of a failure, and to the output
// that liveOutput chooses.
func stepPrinter() func(provider.Progress) {
	live := liveOutput()
	return func(step provider.Progress) {
		line := fmt.Sprintf("overcast: %s\n", step)
		fmt.Fprint(ginkgo.GinkgoWriter, line)
		fmt.Fprint(live, line)
	}
}

// liveOutput returns where steps are printed beside GinkgoWriter: the terminal,
// if there is one, or standard output. With -v and without a terminal Ginkgo
// prints GinkgoWriter itself.
func liveOutput() io.Writer {
	_, reporter := ginkgo.GinkgoConfiguration()
	verbose := reporter.Verbosity().GTE(types.VerbosityLevelVerbose)
	if processes() < 2 {
		if verbose {
			return io.Discard
		}
		return os.Stdout
	}
	if terminal := terminalOf(os.Getppid()); terminal != nil {
		return terminal
	}
	if verbose {
		return io.Discard
	}
	return os.Stdout
}

// terminalOf opens the terminal that is another process's standard output. It
// returns nil if that is no terminal, and on systems without /proc. The ginkgo
// command collects the standard output of parallel processes and prints it at
// the end of a node; writing to its terminal shows a line at once.
func terminalOf(process int) io.Writer {
	path := fmt.Sprintf("/proc/%d/fd/1", process)
	info, err := os.Stat(path)
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return nil
	}
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return nil
	}
	return file // open until the process ends
}

// progress returns the hosts' states for Ginkgo's progress reports.
func (f *Fixtures) progress() string {
	var lines []string
	for _, label := range f.labels {
		if status := host.Default.Status(label, 1); status.Up || status.Step != "" {
			lines = append(lines, status.String())
		}
	}
	if len(lines) == 0 {
		return ""
	}
	return "Hosts:\n  " + strings.Join(lines, "\n  ")
}
