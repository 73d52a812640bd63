package suite_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/onsi/ginkgo/v2/types"
	"github.com/overcast-go/overcast/internal/host"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const twoHosts = `a.noted = "10.0.0.1", b.noted = "10.0.0.2"`

// A line begins as such, or after what Ginkgo prints before it ends a line: the dots of
// passed specs, and the seed of the run.
const beginningOfLine = `(?m)^(?:Random Seed: \d+)?[ •]*`

func TestStepsArePrintedOnceWithoutATerminal(t *testing.T) {
	for name, test := range map[string]struct {
		args      []string
		processes int
	}{
		"one process":                           {[]string{"-procs=1"}, 1},
		"one process, verbose":                  {[]string{"-procs=1", "-v"}, 1},
		"two processes":                         {[]string{"-procs=2"}, 2},
		"two processes, verbose":                {[]string{"-procs=2", "-v"}, 2},
		"two processes, output not intercepted": {[]string{"-procs=2", "--output-interceptor-mode=none", "-v"}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			_, output, passed := runWith(t, test.args, twoHosts, "a b")
			require.True(t, passed, output)
			end := ""
			if test.processes > 1 {
				end = ` in process [12]`
			}
			summary := regexp.MustCompile(beginningOfLine+`overcast: hosts set up: a in \d+\.\ds, b in \d+\.\ds`+end+`$`).FindAllString(output, -1)
			assert.Len(t, summary, test.processes, output)
			for _, label := range []string{"a", "b"} {
				for _, step := range []string{"cloned as " + label, "address"} {
					lines := regexp.MustCompile(beginningOfLine+`overcast: `+label+`: `+step+` .*after \d+\.\ds`+end+`$`).FindAllString(output, -1)
					assert.Len(t, lines, test.processes, "%s of %s in:\n%s", step, label, output)
				}
			}
		})
	}
}

// The set-up of host b ends only when a line of its first step has been read.
func TestStepsOfParallelProcessesAppearInAPipeAsTheyHappen(t *testing.T) {
	seen := filepath.Join(t.TempDir(), "seen")
	out := &watcher{needle: "overcast: b: cloned as b", file: seen}
	conf := fmt.Sprintf(`a.noted = "10.0.0.1", b { noted = "10.0.0.2", awaits = %q }`, seen)
	cmd, _ := childCommand(t, []string{"-procs=2"}, conf, "a b")
	cmd.Stdout, cmd.Stderr = out, out
	require.NoError(t, cmd.Run(), out.text.String())
}

func TestProgressReportsShowTheHosts(t *testing.T) {
	_, output, passed := runWith(t, []string{"-procs=1", "--poll-progress-after=1ms", "--poll-progress-interval=10ms"}, `a.noted = "10.0.0.1", b.noted = "until reported"`, "a b")
	require.True(t, passed, output)
	assert.Contains(t, output, "Hosts:\n")
	assert.Contains(t, output, "a: up, running at 10.0.0.1; console: a login:")
	assert.Contains(t, output, "b: being set up, cloned after 0.")
}

func TestAFailureAddsTheHostsToAllReports(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		more []string
	}{
		"one process": {[]string{"-procs=1"}, nil},
		"processes":   {[]string{"-procs=2"}, nil},
		"sharing":     {[]string{"-procs=2"}, []string{"CHILD_SHARES=yes"}},
	} {
		t.Run(name, func(t *testing.T) {
			reports, artifacts := t.TempDir(), t.TempDir()
			args := append(test.args, "--output-dir="+reports, "--json-report=report.json", "--junit-report=report.xml")
			log, output, passed := runWith(t, args, twoHosts, "a b", append(test.more, "CHILD_FAILS=3", "OVERCAST_ARTIFACTS="+artifacts)...)
			require.False(t, passed)
			assert.NotEmpty(t, log)
			xml, err := os.ReadFile(filepath.Join(reports, "report.xml"))
			require.NoError(t, err)
			for _, text := range []string{output, html.UnescapeString(string(xml))} {
				for _, label := range []string{"a", "b"} {
					assert.Regexp(t, `host `+label+` (-|@) `, text)
					assert.Regexp(t, label+`: up, running at 10\.0\.0\.\d\n\s+kept:\s+no`, text)
					assert.Regexp(t, `screenshot:\s+\S*/specs-runs-3-\d-`+label+`-\d+\.png\n`, text)
					assert.Contains(t, text, "| "+label+" login:")
				}
			}
			found := entriesIn(t, filepath.Join(reports, "report.json"))
			require.Len(t, found, 2, "of one failed spec")
			for _, evidence := range found {
				text, err := os.ReadFile(evidence.Screenshot)
				require.NoError(t, err)
				assert.Equal(t, "PNG of "+evidence.Label, string(text))
				assert.Equal(t, []string{evidence.Label + " login:"}, evidence.Console)
			}
		})
	}
}

// interrupted runs a child suite, interrupts it as a terminal does once its log is as
// expected, and returns its output.
func interrupted(t *testing.T, cmd *exec.Cmd, path string, expected func(log string) bool) string {
	t.Helper()
	out := &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, cmd.Start())
	assert.Eventually(t, func() bool {
		log, _ := os.ReadFile(path)
		return expected(string(log))
	}, time.Minute, 10*time.Millisecond)
	require.NoError(t, syscall.Kill(-cmd.Process.Pid, syscall.SIGINT)) // the whole process group
	require.Error(t, cmd.Wait())
	return out.String()
}

func TestAnInterruptReportsASharedHostOnce(t *testing.T) {
	cmd, path := childCommand(t, []string{"-procs=2"}, `a.noted = "10.0.0.1", b { noted = "10.0.0.2", scope = suite }`, "a b",
		"CHILD_SPECS=/nowhere", "CHILD_SPEC_TIMEOUT=20s", "OVERCAST_ARTIFACTS="+t.TempDir(), sharing)
	output := interrupted(t, cmd, path, func(log string) bool {
		return strings.Contains(log, "enter ") && strings.Count(log, "set up a") == 2
	})
	// A process that was between two specs reports nothing.
	assert.NotZero(t, strings.Count(output, "  host a - "), "each process has its own: %s", output)
	assert.LessOrEqual(t, strings.Count(output, "  host b - "), 1, output)
}

// Ginkgo prints the goroutines of the node once, when the interrupt comes: the stack of a
// node that waits for a set-up, which shows nothing of the set-up's own functions.
func TestAnInterruptOfASetUpShowsGoroutinesOnce(t *testing.T) {
	for _, processes := range []int{1, 2} {
		cmd, path := childCommand(t, []string{fmt.Sprintf("-procs=%d", processes)}, `a.noted = "10.0.0.1", b { noted = "10.0.0.2", awaits = "/nowhere" }`, "a b", "CHILD_DIRECT=yes")
		output := interrupted(t, cmd, path, func(log string) bool { return strings.Count(log, "set up a") == processes })
		assert.Equal(t, processes, strings.Count(output, "Spec Goroutine"), output)
		assert.NotContains(t, output, "Other Goroutines")
		assert.NotContains(t, output, "suite.(*runner)")
		stack := between(output, "Spec Goroutine", "Begin Additional Progress Reports")
		assert.Contains(t, stack, "suite.(*Fixtures).SetUp")
		assert.NotContains(t, stack, "internal/host.")
		assert.Regexp(t, `generated when the interrupt was received:\n.*\n.*\n\n\s+Begin Additional Progress Reports >>\n\s+Hosts:\n`, output)
	}
}

func between(text, from, to string) string {
	_, text, _ = strings.Cut(text, from)
	text, _, _ = strings.Cut(text, to)
	return text
}

func TestAFailedSetUpReportsAllHosts(t *testing.T) {
	artifacts := t.TempDir()
	_, output, passed := runWith(t, []string{"-procs=1"}, `a.noted = "10.0.0.1", b.noted = fails`, "a b", "OVERCAST_ARTIFACTS="+artifacts)
	require.False(t, passed)
	assert.Regexp(t, `a: up, running at 10\.0\.0\.1\n`, output)
	assert.Regexp(t, `host b - .*\n\s+b: set-up failed, last step: cloned after \d+\.\ds \(as b\), running\n\s+screenshot:\s+\S*/set-up-b-\d+\.png`, output)
}

func TestAFailedLoginShowsTheConsoleOnce(t *testing.T) {
	_, output, passed := runWith(t, []string{"-procs=1"}, `a.noted = "10.0.0.1", b { noted = "10.0.0.2", connection.url = "ssh://me@127.0.0.1:1", provision.startTimeout = 1 ms }`, "a b")
	require.False(t, passed)
	assert.Contains(t, output, "logging in as ssh://me@127.0.0.1:1")
	assert.Equal(t, 1, strings.Count(output, "| b login:"), output)
}

// entriesIn reads the hosts' diagnostics from Ginkgo's JSON report.
func entriesIn(t *testing.T, path string) (found []host.Diagnostics) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var reports []types.Report
	require.NoError(t, json.Unmarshal(text, &reports))
	for _, report := range reports {
		for _, spec := range report.SpecReports {
			for _, entry := range spec.ReportEntries {
				if strings.HasPrefix(entry.Name, "host ") {
					var evidence host.Diagnostics
					require.NoError(t, json.Unmarshal([]byte(entry.Value.AsJSON), &evidence))
					found = append(found, evidence)
				}
			}
		}
	}
	return found
}

func TestAPanicInDiagnosticsStillTearsDown(t *testing.T) {
	log, output, passed := runWith(t, []string{"-procs=1"}, `a.noted = breaks, b.noted = "10.0.0.2"`, "a b", "CHILD_FAILS=0")
	require.False(t, passed)
	assert.Contains(t, output, "bug in a screenshot")
	assert.Contains(t, output, "5 Passed | 1 Failed")
	for _, label := range []string{"a", "b"} {
		assert.Equal(t, 1, count(log, "1: tear down "+label), "%q", log)
	}
}
