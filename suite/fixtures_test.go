package suite_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// run runs the child suite in two processes. It returns the log that the
// processes wrote and the output of Ginkgo.
func run(t *testing.T, conf, hosts string, more ...string) (log []string, output string, passed bool) {
	t.Helper()
	return runWith(t, []string{"-procs=2"}, conf, hosts, more...)
}

// runWith is run with arguments for ginkgo.
func runWith(t *testing.T, args []string, conf, hosts string, more ...string) (log []string, output string, passed bool) {
	t.Helper()
	cmd, path := childCommand(t, args, conf, hosts, more...)
	out, err := cmd.CombinedOutput()
	text, readErr := os.ReadFile(path)
	if readErr != nil && !os.IsNotExist(readErr) {
		require.NoError(t, readErr)
	}
	log = strings.Split(strings.TrimSpace(string(text)), "\n")
	return log, string(out), err == nil
}

// childCommand returns the command that runs the child suite with arguments for ginkgo,
// and the path of the log that its processes write.
func childCommand(t *testing.T, args []string, conf, hosts string, more ...string) (cmd *exec.Cmd, log string) {
	t.Helper()
	log = filepath.Join(t.TempDir(), "log")
	cmd = exec.Command(binary("ginkgo"), slices.Concat(args, []string{"--no-color", "--timeout=1m", binary("child.test")})...)
	cmd.Env = slices.Concat(os.Environ(), []string{"CHILD_LOG=" + log, "CHILD_HOSTS=" + hosts, "OVERCAST_SET=" + conf, "OVERCAST_CONF=", "HOME=" + t.TempDir(),
		"XDG_CONFIG_HOME=" + built, // ginkgo runs go, which may still write there when the test has ended
	}, more)
	return cmd, log
}

// built is the folder of the programs that TestMain builds.
var built string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if built, err = os.MkdirTemp("", "overcast-suite-"); err != nil {
			panic(err)
		}
		defer os.RemoveAll(built)
		for _, args := range [][]string{
			{"build", "-o", filepath.Join(built, "ginkgo"), "github.com/onsi/ginkgo/v2/ginkgo"},
			{"test", "-c", "-o", filepath.Join(built, "child.test"), "./testdata/child"},
		} {
			if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
				panic("go " + strings.Join(args, " ") + ": " + string(out))
			}
		}
		return m.Run()
	}())
}

func binary(name string) string { return filepath.Join(built, name) }

func count(log []string, line string) int {
	n := 0
	for _, l := range log {
		if l == line {
			n++
		}
	}
	return n
}

func TestEveryProcessSetsUpItsOwnHosts(t *testing.T) {
	log, output, passed := run(t, `a.noted = "10.0.0.1", b.noted = "10.0.0.2"`, "a b")
	require.True(t, passed, output)
	for _, line := range []string{"1: set up a", "1: set up b", "2: set up a", "2: set up b", "1: tear down a", "1: tear down b", "2: tear down a", "2: tear down b"} {
		assert.Equal(t, 1, count(log, line), "%s, in %q", line, log)
	}
	for _, process := range []string{"1", "2"} {
		first := slices.Index(log, process+": tear down a")
		assert.Equal(t, -1, slices.Index(log[first:], process+": a is at 10.0.0.1"), "specs ran after the teardown")
	}
}

func TestSetUpFailsWithAllCausesAndTearsDown(t *testing.T) {
	log, output, passed := run(t, `good.noted = fine, bad.noted = fails, worse.noted = fails`, "good bad worse")
	require.False(t, passed)
	assert.Contains(t, output, "setting up bad: no memory left for bad")
	assert.Contains(t, output, "setting up worse: no memory left for worse")
	assert.Contains(t, output, "Ran 0 of 6 Specs")
	for _, label := range []string{"good", "bad", "worse"} {
		assert.Equal(t, count(log, "1: set up "+label), count(log, "1: tear down "+label), label)
		assert.Equal(t, 1, count(log, "1: tear down "+label), label)
	}
}

func TestAnUnknownHostFailsTheSuiteBeforeAnythingIsCreated(t *testing.T) {
	log, output, passed := run(t, `a.noted = "10.0.0.1"`, "a b")
	require.False(t, passed)
	assert.Contains(t, output, `host "b" is not in the configuration`)
	assert.Equal(t, []string{""}, log)
}

func TestSetUpRefusesSharedHostsInSeveralProcesses(t *testing.T) {
	log, output, passed := run(t, `one { noted = "10.0.0.1", scope = suite }, own.noted = "10.0.0.2"`, "one own")
	require.False(t, passed)
	assert.Contains(t, output, `setting up one: a host with a static address or scope = "suite" exists once for all processes, and this run has 2: use SynchronizedBeforeSuite(hosts.SetUpShared, hosts.Join)`)
	assert.Equal(t, []string{""}, log, "nothing was created")
}

func TestSharedHostsAreSetUpOnceAndUsedByEveryProcess(t *testing.T) {
	log, output, passed := run(t, `one { noted = "10.0.0.1", scope = suite }, own.noted = "10.0.0.2"`, "one own", "CHILD_SHARES=yes")
	require.True(t, passed, output)
	assert.Equal(t, 1, count(log, "1: set up one"), log)
	assert.Equal(t, 0, count(log, "2: set up one"), log)
	assert.Equal(t, 1, count(log, "1: tear down one"), log)
	assert.Equal(t, 0, count(log, "2: tear down one"), log)
	for _, process := range []string{"1", "2"} {
		assert.Equal(t, 1, count(log, process+": set up own"), log)
		assert.Equal(t, 1, count(log, process+": tear down own"), log)
	}
	assert.Equal(t, 6, count(log, "1: one is at 10.0.0.1")+count(log, "2: one is at 10.0.0.1"))
	last := slices.IndexFunc(log, func(line string) bool { return line == "1: tear down one" })
	for _, line := range log[last:] {
		assert.NotRegexp(t, "^2:", line, "process 1 tears it down when all others have ended")
	}
}
