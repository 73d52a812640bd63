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

// static is a host that there is once, at an address of a test's own: turns
// are taken by everybody on the machine.
func static(address string) string { return `one { static = true, noted = "` + address + `" }` }

// turns are what a log tells of who has had the host, in order.
func turns(log []string) (list []string) {
	for _, line := range log {
		if process, what, _ := strings.Cut(line, ": "); strings.HasPrefix(what, "enter") || what == "leave" {
			list = append(list, process+" "+strings.Fields(what)[0])
		}
	}
	return list
}

func TestSpecsThatTakeTurnsHaveTheHostForThemselves(t *testing.T) {
	for _, does := range []string{"/", "fail", "panic"} {
		t.Run(does, func(t *testing.T) {
			log, output, passed := play(t, static("192.0.2.1"), "one", sharing, "CHILD_SPECS="+does, "CHILD_OUTLASTS=6")
			assert.Equal(t, does == "/", passed, output)
			assert.NotContains(t, output, "Timed out", "the host is free when the spec has ended")
			list := turns(log)
			require.Len(t, list, 12, output)
			for n := 0; n < len(list); n += 2 {
				process, _, _ := strings.Cut(list[n], " ")
				assert.Equal(t, []string{process + " enter", process + " leave"}, list[n:n+2], "%q", list)
			}
		})
	}
}

func TestAContainerInOrderHasTheHostForItself(t *testing.T) {
	log, output, passed := play(t, static("192.0.2.9"), "one", sharing, "CHILD_SPECS=container", "CHILD_OUTLASTS=4")
	require.True(t, passed, output)
	assert.Equal(t, []string{"2 enter", "2 leave", "2 enter", "2 leave", "1 enter", "1 leave", "1 enter", "1 leave"}, turns(log))
}

func TestAHostIsFreeWhenItsProcessHasDied(t *testing.T) {
	log, output, passed := play(t, static("192.0.2.2"), "one", sharing, "CHILD_SPECS=die")
	require.False(t, passed)
	require.Equal(t, 1, count(log, "2: dies"), output)
	died := false
	for n, turn := range turns(log) {
		if turn == "2 enter" {
			died = true
			require.NotContains(t, turns(log)[n+1:], "2 leave")
		}
	}
	require.True(t, died)
	assert.Equal(t, count(log, "1: enter 192.0.2.2"), count(log, "1: leave"), "%q", log)
	assert.Contains(t, turns(log), "1 leave")
}

func TestASharedStaticHostIsNotUsedWithoutATurn(t *testing.T) {
	_, output, passed := play(t, static("192.0.2.3"), "one", sharing)
	require.False(t, passed)
	assert.Contains(t, output, `host "one" has a static address and is one for all 2 processes`)
	assert.Contains(t, output, `write BeforeEach(hosts.Exclusive("one")) in its container`)
	assert.Contains(t, output, "6 Failed")
}

func TestABeforeEachDoesNotUseASharedStaticHostWithoutATurn(t *testing.T) {
	log, output, passed := play(t, static("192.0.2.10"), "one", sharing, "CHILD_SPECS=before")
	require.False(t, passed)
	assert.Contains(t, output, `host "one" has a static address and is one for all 2 processes`)
	assert.Contains(t, output, "2 Failed")
	assert.Zero(t, count(log, "1: ran")+count(log, "2: ran"))
}

func TestWhatIsNoSpecMayUseASharedStaticHost(t *testing.T) {
	log, output, passed := play(t, static("192.0.2.11"), "one", sharing, "CHILD_SPECS=around")
	require.True(t, passed, output)
	for _, line := range []string{"1: one is at 192.0.2.11", "2: one is at 192.0.2.11"} {
		assert.Equal(t, 2, count(log, line), "before the specs, and after them: %q", log)
	}
}

func TestNobodyTakesAHostThatIsNotDeclared(t *testing.T) {
	log, output, passed := play(t, static("192.0.2.12"), "one", sharing, "CHILD_SPECS=undeclared")
	require.False(t, passed)
	assert.Equal(t, 2, strings.Count(output, `[FAILED] Exclusive("nobody"): the suite has not declared that host, but one`), output)
	assert.Contains(t, output, "2 Failed")
	assert.Zero(t, count(log, "1: ran")+count(log, "2: ran"))
}

// Each run keeps its host until the other has its own.
func TestRunsDoNotWaitForEachOthersHostsOnTheLoopbackNetwork(t *testing.T) {
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
					_, output, passed := playWith(t, []string{how.procs}, static("127.0.0.1"), "one", how.shares, "CHILD_MAKES="+files[n], "CHILD_SPECS="+files[1-n])
					assert.True(t, passed, output)
				})
			}
			both.Wait()
		})
	}
}

func TestAHostOfOneProcessNeedsNoTurn(t *testing.T) {
	cmd := exec.Command(binary("child.test"))
	cmd.Env = append(os.Environ(), "CHILD_LOG="+filepath.Join(t.TempDir(), "log"), "CHILD_HOSTS=one", "OVERCAST_CONF=", "HOME="+t.TempDir(), "OVERCAST_SET="+static("192.0.2.4"), sharing)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
}

// watcher makes a file as soon as something has been printed.
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

// playUntil runs the child suite in two processes that report their progress all
// the time, and makes a file as soon as they have printed something. It answers
// with all that they have.
func playUntil(t *testing.T, needle, file, conf, hosts string, more ...string) string {
	t.Helper()
	out := &watcher{needle: needle, file: file}
	cmd := exec.Command(binary("ginkgo"), "-procs=2", "--no-color", "--poll-progress-after=50ms", "--poll-progress-interval=50ms", "--timeout=1m", binary("child.test"))
	cmd.Env = append(os.Environ(), append([]string{"CHILD_LOG=" + filepath.Join(t.TempDir(), "log"), "CHILD_HOSTS=" + hosts, "OVERCAST_CONF=", "HOME=" + t.TempDir(), "OVERCAST_SET=" + conf, sharing}, more...)...)
	cmd.Stdout, cmd.Stderr = out, out
	require.NoError(t, cmd.Run(), out.text.String())
	return out.text.String()
}

// The spec that has the host keeps it until Ginkgo has reported that another
// waits for it. Processes of one run wait for a host on the loopback network,
// too.
func TestProgressReportsTellWhoHasTheHost(t *testing.T) {
	for _, address := range []string{"192.0.2.5", "127.0.0.1"} {
		t.Run(address, func(t *testing.T) {
			seen := filepath.Join(t.TempDir(), "seen")
			output := playUntil(t, `waiting for one (`+address+`), which one of process `, seen, static(address), "one", "CHILD_SPECS="+seen)
			assert.Regexp(t, `which one of process \d+ \("specs that take turns has a turn \d" in process \d of Ginkgo's\) has, in the line since`, output)
		})
	}
}

// The shared host is up only when Ginkgo has reported that it is waited for.
func TestProgressReportsTellWhichHostIsComing(t *testing.T) {
	seen := filepath.Join(t.TempDir(), "seen")
	playUntil(t, `waiting for process 1 to set up one, for`, seen, fmt.Sprintf(`one { noted = "10.0.0.1", scope = suite, awaits = %q }`, seen), "one")
}

func TestOneOfTwoSpecsThatWaitForEachOtherIsFailed(t *testing.T) {
	both := `a { static = true, noted = "192.0.2.7" }, b { static = true, noted = "192.0.2.8" }`
	log, output, passed := play(t, both, "a b", sharing, "CHILD_SPECS=cross")
	require.False(t, passed)
	assert.Equal(t, 1, count(log, "1: has both")+count(log, "2: has both"), "%q", log)
	assert.Contains(t, output, "1 Passed | 1 Failed")
	assert.Regexp(t, `waiting for [ab] \(192\.0\.2\.[78]\), which [ab] of process .*: that would last for ever: `+
		`the host is had by "specs that take turns crosswise with [ab] first has both" in process [12] of Ginkgo's, which waits for [ab], `+
		`which the failed spec has: have all specs take their hosts in one order`, output)
}

// Everybody on the machine stands in the same line for an address.
func TestAWaitEndsWithTheSpec(t *testing.T) {
	dir, err := filelock.Dir()
	require.NoError(t, err)
	other, err := filelock.Join(t.Context(), dir, "exclusive-192.0.2.6", filelock.Holder{PID: os.Getpid(), Label: "theirs", Detail: "another run"})
	require.NoError(t, err)
	defer other.Release()
	_, output, passed := play(t, static("192.0.2.6"), "one", sharing, "CHILD_SPECS=/", "CHILD_SPEC_TIMEOUT=100ms")
	require.False(t, passed)
	assert.Contains(t, output, "waiting for one (192.0.2.6), which theirs of process")
}

// An address of the loopback network is one run's, and so is its line.
func TestNothingIsLeftOfALineThatWasOneRuns(t *testing.T) {
	dir, err := filelock.Dir()
	require.NoError(t, err)
	for _, more := range [][]string{{sharing}, nil} {
		args := []string{"-procs=2"}
		if more == nil {
			args = []string{"-procs=1"}
		}
		_, output, passed := playWith(t, args, static("127.0.9.9"), "one", append(more, "CHILD_SPECS=/")...)
		require.True(t, passed, output)
		left, err := filepath.Glob(filepath.Join(dir, "exclusive-127.0.9.9-*"))
		require.NoError(t, err)
		assert.Empty(t, left)
	}
}
