package suite

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	"github.com/overcast-go/overcast/fixture"
)

// tellSteps answers with what tells people how far a host's set-up is: a line a
// step. All of it goes to GinkgoWriter, and so to the reports of a failure.
// Somebody who sits before a terminal sees it at once; where there is none, as
// in CI, it is on standard output, unless -v shows it anyway.
func tellSteps() func(fixture.Step) {
	shown := audience()
	return func(step fixture.Step) {
		line := fmt.Sprintf("overcast: %s\n", step)
		fmt.Fprint(ginkgo.GinkgoWriter, line)
		fmt.Fprint(shown, line)
	}
}

// audience is who sees steps at once.
func audience() io.Writer {
	_, reporter := ginkgo.GinkgoConfiguration()
	verbose := reporter.Verbosity().GTE(types.VerbosityLevelVerbose)
	if processes() < 2 {
		if verbose { // as GinkgoWriter is
			return io.Discard
		}
		return os.Stdout
	}
	if terminal := terminalOf(os.Getppid()); terminal != nil {
		return terminal
	}
	if verbose { // GinkgoWriter is shown when the node has ended, as is standard output
		return io.Discard
	}
	return os.Stdout
}

// terminalOf opens the terminal that another process's standard output is; nil
// says that it is none, or that this system does not tell. What a process of
// several prints goes to the ginkgo command, which shows it at the end.
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
	return file // for as long as the process runs
}

// progress is what Ginkgo's progress reports show of the hosts.
func (f *Fixtures) progress() string {
	var lines []string
	for _, label := range f.labels {
		if status := fixture.Host(label).Status(1); status.Up || status.Step != "" {
			lines = append(lines, status.String())
		}
	}
	if len(lines) == 0 {
		return ""
	}
	return "Hosts:\n  " + strings.Join(lines, "\n  ")
}
