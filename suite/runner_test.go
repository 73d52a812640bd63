package suite_test

import (
	"errors"
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

func TestProcessesTearDownWhenTheGinkgoCommandIsKilled(t *testing.T) {
	const own = `a.noted = "10.0.0.1", b { noted = "10.0.0.2", lingers = true }`
	signal := filepath.Join(t.TempDir(), "signal")
	for name, test := range map[string]struct {
		conf, hosts, specs string
		when               []string // lines of the log at the time of the kill
		more               []string // environment
		after              func()
	}{
		"during specs": {conf: own, hosts: "a b", specs: "/nowhere", when: []string{"set up a", "set up b", "enter 10.0.0.1"}},
		"as a spec ends": {conf: own, hosts: "a b", specs: signal, when: []string{"1: set up a", "2: set up a", "1: set up b", "2: set up b", "enter 10.0.0.1"},
			after: func() { assert.NoError(t, os.WriteFile(signal, nil, 0o600)) }},
		"when process 1 has run its last spec": {conf: own, hosts: "a b", specs: "stay", when: []string{"1: has run its last spec"}},
		"during boot, also of a shared host": {conf: `a { noted = "10.0.0.1", awaits = /nowhere }, b { noted = "10.0.0.2", scope = suite, lingers = true, awaits = /nowhere }`,
			hosts: "a b", when: []string{"1: set up a", "1: set up b", "2: set up a"}, more: []string{sharing}},
	} {
		t.Run(name, func(t *testing.T) {
			cmd, path := childCommand(t, []string{"-procs=2"}, test.conf, test.hosts, append([]string{"CHILD_SPECS=" + test.specs}, test.more...)...)
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			require.NoError(t, cmd.Start())
			log := func() string { text, _ := os.ReadFile(path); return string(text) }
			const limit, interval = time.Minute, 10 * time.Millisecond
			assert.Eventually(t, func() bool {
				for _, line := range test.when {
					if !strings.Contains(log(), line+"\n") {
						return false
					}
				}
				return true
			}, limit, interval, "%q", test.when)
			require.NoError(t, cmd.Process.Kill())
			_ = cmd.Wait()
			if test.after != nil {
				test.after()
			}
			assert.Eventually(t, func() bool {
				for _, process := range []string{"1: ", "2: "} {
					for _, label := range strings.Fields(test.hosts) {
						setUp, tornDown := process+"set up "+label+"\n", process+"tear down "+label+"\n"
						if strings.Contains(log(), setUp) && !strings.Contains(log(), tornDown) {
							return false
						}
					}
				}
				return true
			}, limit, interval)
			assert.Eventually(t, func() bool { return errors.Is(syscall.Kill(-cmd.Process.Pid, 0), syscall.ESRCH) }, limit, interval, "all processes end")
			if t.Failed() {
				t.Log(log())
			}
		})
	}
}

func TestSetUpFailsWhenTheGinkgoCommandHasEndedBefore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	cmd := exec.Command(binary("ginkgo"), "-procs=2", binary("child.test"))
	cmd.Env = append(os.Environ(), "CHILD_LOG="+path, "CHILD_HOSTS=a", "CHILD_ORPHAN=yes", "OVERCAST_CONF=", "HOME="+t.TempDir(), "XDG_CONFIG_HOME="+built, `OVERCAST_SET=a.noted = "10.0.0.1"`)
	require.NoError(t, cmd.Start())
	const limit, interval = time.Minute, 10 * time.Millisecond
	starts := func() []string {
		text, _ := os.ReadFile(path)
		return regexp.MustCompile(`(?m)^\d: starts with \d+ as (\d+)$`).FindAllString(string(text), -1)
	}
	assert.Eventually(t, func() bool { return len(starts()) == 2 }, limit, interval)
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	for _, start := range starts() {
		pid, err := strconv.Atoi(start[strings.LastIndex(start, " ")+1:])
		require.NoError(t, err)
		assert.Eventually(t, func() bool { return syscall.Kill(pid, 0) != nil }, limit, interval, "the process ends")
	}
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.NotContains(t, string(text), "set up")
}
