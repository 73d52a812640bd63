package suite

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	"github.com/overcast-go/overcast/internal/host"
	"github.com/overcast-go/overcast/provider"
	"golang.org/x/term"
)

// stepPrinter returns a function that prints a line for each step of a host's set-up.
func stepPrinter() func(provider.Progress) {
	print := linePrinter()
	return func(step provider.Progress) { print(step.String()) }
}

// linePrinter returns a function that prints a line: to GinkgoWriter, and so to the
// report of a failure, and to the output that liveOutput chooses. In a run of several
// processes the line names the process.
func linePrinter() func(string) {
	live := liveOutput()
	suffix := ""
	if processes() > 1 {
		suffix = fmt.Sprintf(" in process %d", ginkgo.GinkgoParallelProcess())
	}
	_, reporter := ginkgo.GinkgoConfiguration()
	prefix := livePrefix(isTerminal(live), reporter.NoColor)
	var begin sync.Once
	return func(text string) {
		if live != os.Stdout && processes() > 1 { // other processes print dots for their specs
			begin.Do(func() { fmt.Fprintln(live) })
		}
		fmt.Fprintf(ginkgo.GinkgoWriter, "overcast: %s%s\n", text, suffix)
		fmt.Fprintf(live, "%s %s%s\n", prefix, text, suffix)
	}
}

// livePrefix begins the lines of the live output. It has a colour on a terminal, unless
// --no-color or NO_COLOR is set.
func livePrefix(terminal, noColor bool) string {
	if !terminal || noColor || os.Getenv("NO_COLOR") != "" {
		return "overcast:"
	}
	return "\x1b[36movercast:\x1b[0m"
}

func isTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// printSummary prints the hosts of this process that are up, and how long their set-up
// took.
func (f *Fixtures) printSummary() {
	var hosts []string
	for _, label := range f.labels {
		if status := host.Default.Status(label, 0); status.Up && status.Elapsed > 0 {
			hosts = append(hosts, summaryOf(status))
		}
	}
	if len(hosts) > 0 {
		if live := liveOutput(); live == os.Stdout {
			fmt.Fprintln(live) // ends the line of dots for the specs
		}
		linePrinter()("hosts set up: " + strings.Join(hosts, ", "))
	}
}

// summaryOf says how long the set-up of a host took, and what its cached layer saved.
func summaryOf(status host.Status) string {
	text := fmt.Sprintf("%s in %.1fs", status.Label, status.Elapsed.Seconds())
	if status.Saved > 0 {
		text += fmt.Sprintf(" (its layer saved %.1fs)", status.Saved.Seconds())
	}
	return text
}

// liveOutput returns where steps are printed beside GinkgoWriter: where the ginkgo
// command prints, or standard output. With -v and without a terminal Ginkgo prints
// GinkgoWriter itself.
func liveOutput() io.Writer {
	_, reporter := ginkgo.GinkgoConfiguration()
	verbose := reporter.Verbosity().GTE(types.VerbosityLevelVerbose)
	if processes() > 1 {
		if output := outputOf(os.Getppid(), verbose); output != nil {
			return output
		}
	}
	if verbose {
		return io.Discard
	}
	return os.Stdout
}

// outputOf opens another process's standard output if it is a terminal, or, unless
// terminalOnly, a pipe, as in CI. It returns nil otherwise, and on systems without
// /proc. The ginkgo command collects the standard output of parallel processes and
// prints it at the end of a node; writing to its own output shows a line at once. Not
// to a file: the command overwrites there what others write.
func outputOf(process int, terminalOnly bool) io.Writer {
	path := fmt.Sprintf("/proc/%d/fd/1", process)
	info, err := os.Stat(path)
	if err != nil {
		return nil
	}
	isPipe := info.Mode()&os.ModeNamedPipe != 0 && !terminalOnly
	if info.Mode()&os.ModeCharDevice == 0 && !isPipe {
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
