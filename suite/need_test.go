package suite_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNeedSetsUpOnlyTheHostsOfTheSpecsThatRun(t *testing.T) {
	for name, args := range map[string][]string{"one process": {"-procs=1"}, "two processes": {"-procs=2"}} {
		t.Run(name, func(t *testing.T) {
			log, output, passed := runWith(t, append(args, "--focus", "needing (a|c in)"), `a.noted = "10.0.0.1", b.noted = "10.0.0.2", c.noted = "10.0.0.3"`, "a b c", "CHILD_SPECS=need")
			require.True(t, passed, output)
			assert.Equal(t, 3, count(log, "1: uses a")+count(log, "2: uses a"), log)
			assert.Equal(t, 1, count(log, "1: uses c")+count(log, "2: uses c"), log)
			for _, process := range []string{"1", "2"} {
				assert.Equal(t, 0, count(log, process+": set up b"), log)
				for _, label := range []string{"a", "c"} {
					used := min(count(log, process+": uses "+label), 1)
					assert.Equal(t, used, count(log, process+": set up "+label), log)
					assert.Equal(t, used, count(log, process+": tear down "+label), log)
				}
			}
		})
	}
}

func TestAHostThatFailsFailsTheSpecsThatNeedIt(t *testing.T) {
	log, output, passed := runWith(t, []string{"-procs=1"}, `a.noted = "10.0.0.1", b.noted = fails`, "a b", "CHILD_SPECS=need")
	require.False(t, passed)
	assert.Contains(t, output, "4 Passed | 3 Failed")
	assert.Contains(t, output, "setting up b: no memory left for b")
	assert.Regexp(t, `host "b": an earlier spec of this process needed it, and its set-up failed: setting up b: no memory left for b\n\s+\(see \S+/need_test\.go:\d+\)`, output)
	assert.Equal(t, 1, count(log, "1: set up b"), "it is not tried for every spec")
}

func TestNeedFailsWithoutATeardown(t *testing.T) {
	log, output, passed := runWith(t, []string{"-procs=1"}, `a.noted = "10.0.0.1"`, "a", "CHILD_SPECS=need without teardown")
	require.False(t, passed)
	assert.Contains(t, output, `Need("a"): no node would tear the host down: add BeforeSuite(hosts.SetUpOnNeed) to the suite`)
	assert.Equal(t, []string{""}, log)
}

func TestPristineBeforeNeedSaysWhatToAdd(t *testing.T) {
	log, output, passed := runWith(t, []string{"-procs=1", "--focus=needing a one"}, `a.noted = "10.0.0.1"`, "a", "CHILD_SPECS=need after pristine")
	require.False(t, passed)
	assert.Contains(t, output, `Pristine("a"): the host is not up: add BeforeEach(hosts.Need("a")) before BeforeEach(hosts.Pristine("a"))`)
	assert.NotContains(t, log, "1: set up a")
}

func TestAFailedSetUpSaysWhereTheHostsAreDeclared(t *testing.T) {
	_, output, passed := runWith(t, []string{"-procs=1"}, `a.noted = fails`, "a", "CHILD_DIRECT=yes")
	require.False(t, passed)
	assert.Regexp(t, `\[FAILED\] setting up a: no memory left for a\n\s+\(see \S+/child_test\.go:\d+\)`, output)
	assert.NotRegexp(t, `\[FAILED\] in \[BeforeSuite\] - \S+/(ginkgo|reflect)/`, output)
	_, output, _ = runWith(t, []string{"-procs=1"}, `a.noted = fails`, "a")
	assert.Regexp(t, `\[FAILED\] in \[BeforeSuite\] - \S+/child_test\.go:\d+`, output, "the node of the suite")
}
