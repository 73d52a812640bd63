package suite_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestProcessesTearDownWhenTheirRunnerIsKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	cmd := exec.Command(binary("ginkgo"), "-procs=2", binary("child.test"))
	cmd.Env = append(os.Environ(), "CHILD_LOG="+path, "CHILD_HOSTS=a b", "CHILD_SPECS=/nowhere", "OVERCAST_CONF=", "HOME="+t.TempDir(), "XDG_CONFIG_HOME="+built,
		`OVERCAST_SET=a.noted = "10.0.0.1", b.noted = "10.0.0.2"`)
	require.NoError(t, cmd.Start())
	logged := func(lines ...string) func() bool {
		return func() bool {
			text, _ := os.ReadFile(path)
			for _, line := range lines {
				if !strings.Contains(string(text), line+"\n") {
					return false
				}
			}
			return true
		}
	}
	const limit, pace = time.Minute, 10 * time.Millisecond
	running := func() bool {
		return logged("1: set up a", "2: set up a", "1: set up b", "2: set up b")() && (logged("1: enter 10.0.0.1")() || logged("2: enter 10.0.0.1")())
	}
	assert.Eventually(t, running, limit, pace)
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	assert.Eventually(t, logged("1: tear down a", "2: tear down a", "1: tear down b", "2: tear down b"), limit, pace)
}

// A process whose runner has gone before it comes to its hosts makes none.
func TestNothingIsSetUpForARunnerThatHasGone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	cmd := exec.Command(binary("ginkgo"), "-procs=2", binary("child.test"))
	cmd.Env = append(os.Environ(), "CHILD_LOG="+path, "CHILD_HOSTS=a", "CHILD_ORPHAN=yes", "OVERCAST_CONF=", "HOME="+t.TempDir(), "XDG_CONFIG_HOME="+built, `OVERCAST_SET=a.noted = "10.0.0.1"`)
	require.NoError(t, cmd.Start())
	const limit, pace = time.Minute, 10 * time.Millisecond
	starts := func() []string {
		text, _ := os.ReadFile(path)
		return regexp.MustCompile(`(?m)^\d: starts with \d+ as (\d+)$`).FindAllString(string(text), -1)
	}
	assert.Eventually(t, func() bool { return len(starts()) == 2 }, limit, pace)
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	for _, start := range starts() {
		pid, err := strconv.Atoi(start[strings.LastIndex(start, " ")+1:])
		require.NoError(t, err)
		assert.Eventually(t, func() bool { return syscall.Kill(pid, 0) != nil }, limit, pace, "it ends")
	}
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.NotContains(t, string(text), "set up")
}
