package suite_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/overcast-go/overcast/internal/filelock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// static configures a host that exists once. Each test uses another address, as
// the queue of an address is shared by all runs on the machine.
func static(address string) string { return `one { static = true, noted = "` + address + `" }` }

// uses returns the beginnings and ends of exclusive uses in a log.
func uses(log []string) (list []string) {
	for _, line := range log {
		if process, what, _ := strings.Cut(line, ": "); strings.HasPrefix(what, "enter") || what == "leave" {
			list = append(list, process+" "+strings.Fields(what)[0])
		}
	}
	return list
}

func TestExclusiveGivesTheHostToOneSpecAtATime(t *testing.T) {
	for _, does := range []string{"/", "fail", "panic"} {
		t.Run("specs that "+strings.Replace(does, "/", "pass", 1), func(t *testing.T) {
			log, output, passed := run(t, static("192.0.2.1"), "one", sharing, "CHILD_SPECS="+does, "CHILD_STAYS_UNTIL=6")
			assert.Equal(t, does == "/", passed, output)
			assert.NotContains(t, output, "Timed out", "the host is released when the spec ends")
			list := uses(log)
			require.Len(t, list, 12, output)
			for n := 0; n < len(list); n += 2 {
				process, _, _ := strings.Cut(list[n], " ")
				assert.Equal(t, []string{process + " enter", process + " leave"}, list[n:n+2], "%q", list)
			}
		})
	}
}

func TestExclusiveInBeforeAllHoldsTheHostForTheContainer(t *testing.T) {
	log, output, passed := run(t, static("192.0.2.9"), "one", sharing, "CHILD_SPECS=ordered", "CHILD_STAYS_UNTIL=4")
	require.True(t, passed, output)
	assert.Equal(t, []string{"2 enter", "2 leave", "2 enter", "2 leave", "1 enter", "1 leave", "1 enter", "1 leave"}, uses(log))
}

func TestAKilledProcessReleasesItsHost(t *testing.T) {
	log, output, passed := run(t, static("192.0.2.2"), "one", sharing, "CHILD_SPECS=die")
	require.False(t, passed)
	require.Equal(t, 1, count(log, "2: dies"), output)
	died := false
	for n, use := range uses(log) {
		if use == "2 enter" {
			died = true
			require.NotContains(t, uses(log)[n+1:], "2 leave")
		}
	}
	require.True(t, died)
	assert.Equal(t, count(log, "1: enter 192.0.2.2"), count(log, "1: leave"), "%q", log)
	assert.Contains(t, uses(log), "1 leave")
}

func TestASpecThatUsesAStaticHostWithoutExclusiveFails(t *testing.T) {
	_, output, passed := run(t, static("192.0.2.3"), "one", sharing)
	require.False(t, passed)
	assert.Contains(t, output, `host "one" has a static address and is shared by 2 processes`)
	assert.Contains(t, output, `add BeforeEach(hosts.Exclusive("one")) to its container`)
	assert.Contains(t, output, "6 Failed")
}

func TestABeforeEachThatUsesAStaticHostWithoutExclusiveFails(t *testing.T) {
	log, output, passed := run(t, static("192.0.2.10"), "one", sharing, "CHILD_SPECS=before")
	require.False(t, passed)
	assert.Contains(t, output, `host "one" has a static address and is shared by 2 processes`)
	assert.Contains(t, output, "2 Failed")
	assert.Zero(t, count(log, "1: ran")+count(log, "2: ran"))
}

func TestSuiteNodesMayUseAStaticHostWithoutExclusive(t *testing.T) {
	log, output, passed := run(t, static("192.0.2.11"), "one", sharing, "CHILD_SPECS=around")
	require.True(t, passed, output)
	for _, line := range []string{"1: one is at 192.0.2.11", "2: one is at 192.0.2.11"} {
		assert.Equal(t, 2, count(log, line), "before the specs, and after them: %q", log)
	}
}

func TestExclusiveRefusesAHostThatIsNotDeclared(t *testing.T) {
	log, output, passed := run(t, static("192.0.2.12"), "one", sharing, "CHILD_SPECS=undeclared")
	require.False(t, passed)
	assert.Equal(t, 2, strings.Count(output, `[FAILED] Exclusive("undeclared"): the suite declares no such host (it declares one): add the label to suite.Declare`), output)
	assert.Contains(t, output, "2 Failed")
	assert.Zero(t, count(log, "1: ran")+count(log, "2: ran"))
}

// Each run holds its host until the other run holds its own.
func TestRunsDoNotShareTheQueueOfALoopbackAddress(t *testing.T) {
	for name, how := range map[string]struct{ procs, shares string }{
		"SetUpShared and Join, two processes": {"-procs=2", sharing},
		"SetUpShared and Join, one process":   {"-procs=1", sharing},
		"SetUp":                               {"-procs=1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			files := []string{filepath.Join(dir, "a"), filepath.Join(dir, "b")}
			var both sync.WaitGroup
			for n := range files {
				both.Go(func() {
					_, output, passed := runWith(t, []string{how.procs}, static("127.0.0.1"), "one", how.shares, "CHILD_CREATES="+files[n], "CHILD_SPECS="+files[1-n])
					assert.True(t, passed, output)
				})
			}
			both.Wait()
		})
	}
}

func TestARunOfOneProcessNeedsNoExclusive(t *testing.T) {
	cmd := exec.Command(binary("child.test"))
	cmd.Env = append(os.Environ(), "CHILD_LOG="+filepath.Join(t.TempDir(), "log"), "CHILD_HOSTS=one", "OVERCAST_CONF=", "HOME="+t.TempDir(), "OVERCAST_SET="+static("192.0.2.4"), sharing)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
}

// watcher is a writer that creates a file when a text has been written to it.
type watcher struct {
	mu     sync.Mutex
	text   bytes.Buffer
	needle string
	file   string
}

func (w *watcher) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(p)
	if strings.Contains(w.text.String(), w.needle) {
		if err := os.WriteFile(w.file, nil, 0o600); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// runUntil runs the child suite in two processes that print progress reports all
// the time, and creates a file when they have printed a text. It returns their
// output.
func runUntil(t *testing.T, needle, file, conf, hosts string, more ...string) string {
	t.Helper()
	out := &watcher{needle: needle, file: file}
	args := []string{"-procs=2", "--poll-progress-after=50ms", "--poll-progress-interval=50ms"}
	cmd, _ := childCommand(t, args, conf, hosts, append([]string{sharing}, more...)...)
	cmd.Stdout, cmd.Stderr = out, out
	require.NoError(t, cmd.Run(), out.text.String())
	return out.text.String()
}

// The spec holds the host until a progress report has shown that another one
// waits for it. The processes of one run share the queue of a loopback address.
func TestProgressReportsNameTheHolderOfAHost(t *testing.T) {
	for _, address := range []string{"192.0.2.5", "127.0.0.1"} {
		t.Run(address, func(t *testing.T) {
			seen := filepath.Join(t.TempDir(), "seen")
			output := runUntil(t, `waiting for exclusive use of one (`+address+`) for `, seen, static(address), "one", "CHILD_SPECS="+seen)
			assert.Regexp(t, `held by one of process \d+ \("exclusive specs runs \d" in Ginkgo process \d\), queued since \d`, output)
		})
	}
}

// The shared host is up only after a progress report has named it.
func TestProgressReportsNameASharedHostThatIsBeingSetUp(t *testing.T) {
	seen := filepath.Join(t.TempDir(), "seen")
	runUntil(t, `waiting for process 1 to set up one for `, seen, fmt.Sprintf(`one { noted = "10.0.0.1", scope = suite, awaits = %q }`, seen), "one")
}

func TestADeadlockFailsOneOfTheSpecs(t *testing.T) {
	both := `a { static = true, noted = "192.0.2.7" }, b { static = true, noted = "192.0.2.8" }`
	log, output, passed := run(t, both, "a b", sharing, "CHILD_SPECS=deadlock")
	require.False(t, passed)
	assert.Equal(t, 1, count(log, "1: has both")+count(log, "2: has both"), "%q", log)
	assert.Contains(t, output, "1 Passed | 1 Failed")
	assert.Regexp(t, `waiting for exclusive use of [ab] \(192\.0\.2\.[78]\) for .*: held by [ab] of process .*: deadlock: `+
		`the host is held by "specs that acquire two hosts in different orders with [ab] first has both" in Ginkgo process [12], which waits for [ab], `+
		`which the failed spec holds: acquire hosts in the same order in every spec`, output)
}

// All runs on the machine share the queue of an address.
func TestAWaitForAHostEndsWithTheSpec(t *testing.T) {
	dir, err := filelock.Dir()
	require.NoError(t, err)
	other, err := filelock.Join(t.Context(), dir, "exclusive-192.0.2.6", filelock.Holder{PID: os.Getpid(), Label: "theirs", Detail: "another run"})
	require.NoError(t, err)
	defer other.Release()
	_, output, passed := run(t, static("192.0.2.6"), "one", sharing, "CHILD_SPECS=/", "CHILD_SPEC_TIMEOUT=100ms")
	require.False(t, passed)
	assert.Regexp(t, `waiting for exclusive use of one \(192\.0\.2\.6\) for .*: held by theirs of process`, output)
}

func TestTheQueueOfALoopbackAddressIsRemovedAtTheEndOfTheRun(t *testing.T) {
	dir, err := filelock.Dir()
	require.NoError(t, err)
	for _, more := range [][]string{{sharing}, nil} {
		args := []string{"-procs=2"}
		if more == nil {
			args = []string{"-procs=1"}
		}
		_, output, passed := runWith(t, args, static("127.0.9.9"), "one", append(more, "CHILD_SPECS=/")...)
		require.True(t, passed, output)
		left, err := filepath.Glob(filepath.Join(dir, "exclusive-127.0.9.9-*"))
		require.NoError(t, err)
		assert.Empty(t, left)
	}
}
