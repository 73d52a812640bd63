package suite_test

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const sharing = "CHILD_SHARES=yes"

// The set-up of each host waits until the set-up of the other one has started.
func TestSharedHostsBootWhileEveryProcessBootsItsOwn(t *testing.T) {
	dir := t.TempDir()
	log, output, passed := run(t, fmt.Sprintf(`one { noted = "10.0.0.1", scope = suite, creates = %q, awaits = %q }, own { noted = "10.0.0.2", creates = %[2]q, awaits = %[1]q }`,
		filepath.Join(dir, "one"), filepath.Join(dir, "own")), "one own", sharing)
	require.True(t, passed, output)
	assert.Equal(t, 1, count(log, "1: set up one"), log)
	assert.Equal(t, 6, count(log, "1: one is at 10.0.0.1")+count(log, "2: one is at 10.0.0.1"))
}

func TestEveryProcessReportsWhyASharedHostFailed(t *testing.T) {
	log, output, passed := run(t, `one { noted = fails, scope = suite }, own.noted = "10.0.0.2"`, "one own", sharing)
	require.False(t, passed)
	assert.Equal(t, 2, strings.Count(output, "setting up one: no memory left for one"), output)
	assert.Contains(t, output, "Ran 0 of")
	for _, line := range []string{"1: tear down one", "1: tear down own", "2: tear down own"} {
		assert.Equal(t, 1, count(log, line), "%s, in %q", line, log)
	}
}

func TestAPanicInSetUpFailsTheSuiteAndTearsDown(t *testing.T) {
	for name, more := range map[string][]string{"of a host of each process": nil, "of a shared host": {sharing}} {
		t.Run(name, func(t *testing.T) {
			conf := `good.noted = "10.0.0.1", bad.noted = panics`
			if more != nil {
				conf += `, bad.scope = suite`
			}
			log, output, passed := run(t, conf, "good bad", more...)
			require.False(t, passed)
			assert.Contains(t, output, "bug in a provider")
			assert.Contains(t, output, "Ran 0 of")
			for _, line := range []string{"1: tear down good", "1: tear down bad", "2: tear down good"} {
				assert.Equal(t, 1, count(log, line), "%s, in %q", line, log)
			}
		})
	}
}

func TestJoinFailsWhenProcess1IsKilled(t *testing.T) {
	dir := t.TempDir()
	log, output, passed := run(t, fmt.Sprintf(`one { noted = dies, scope = suite, awaits = %q }, own { noted = "10.0.0.2", creates = %[1]q }`, filepath.Join(dir, "own")), "one own", sharing)
	require.False(t, passed)
	assert.Equal(t, 1, count(log, "1: dies"), log)
	assert.Equal(t, 0, count(log, "2: one is at dies"), output)
	if count(log, "2: set up own") > 0 { // otherwise Ginkgo noticed it before Join
		assert.Contains(t, output, "waiting for process 1 to set up one: process 1 has ended")
	}
	assert.Equal(t, count(log, "2: set up own"), count(log, "2: tear down own"), output)
}

func TestJoinRefusesAMessageOfAnotherVersion(t *testing.T) {
	log, output, passed := run(t, `one { noted = "10.0.0.1", scope = suite }, own.noted = "10.0.0.2"`, "one own", sharing, "CHILD_MESSAGE=version=2")
	require.False(t, passed)
	assert.Equal(t, 2, strings.Count(output, "[FAILED] joining the shared hosts: the message of process 1 has version 2, not 1: run all processes from the same build"), output)
	assert.Contains(t, output, "Ran 0 of")
	assert.Equal(t, 1, count(log, "1: tear down one"), "%q", log)
}

func TestJoinRefusesTheAnswerOfAnotherRun(t *testing.T) {
	_, output, passed := run(t, `one { noted = "10.0.0.1", scope = suite }, own.noted = "10.0.0.2"`, "one own", sharing, `CHILD_MESSAGE=run="another"`)
	require.False(t, passed)
	assert.Equal(t, 2, len(regexp.MustCompile(`\[FAILED\] waiting for process 1 to set up one: process 1 has ended: another program answers at 127\.0\.0\.1:\d+`).FindAllString(output, -1)), output)
	assert.Contains(t, output, "Ran 0 of")
}

func TestProcess1StopsListeningWhenTheSuiteEnds(t *testing.T) {
	log, output, passed := run(t, `one { noted = "10.0.0.1", scope = suite }`, "one", sharing)
	require.True(t, passed, output)
	assert.Zero(t, count(log, "1: still answers"), "%q", log)
}

func TestTheConfigurationIsReadOncePerProcess(t *testing.T) {
	for name, more := range map[string][]string{"by SetUp": nil, "by SetUpShared and Join": {sharing}} {
		t.Run(name, func(t *testing.T) {
			conf := `a.noted = "10.0.0.1", b.noted = "10.0.0.2", c { noted = "10.0.0.3" }`
			if more != nil {
				conf += `, c.scope = suite`
			}
			log, output, passed := run(t, conf, "a b c", append(more, "CHILD_COUNTS=yes")...)
			require.True(t, passed, output)
			for _, process := range []string{"1", "2"} {
				assert.Equal(t, 1, count(log, process+": read the configuration"), log)
			}
		})
	}
}

func TestTearDownLeavesSharedHostsToTheRegisteredTeardown(t *testing.T) {
	log, output, passed := run(t, `one { noted = "10.0.0.1", scope = suite }, own.noted = "10.0.0.2"`, "one own", sharing, "CHILD_TEARS_DOWN=yes")
	require.True(t, passed, output)
	for _, line := range []string{"1: tear down one", "1: tear down own", "2: tear down own"} {
		assert.Equal(t, 1, count(log, line), "%s, in %q", line, log)
	}
	for _, line := range log[slices.Index(log, "1: tear down one"):] {
		assert.NotRegexp(t, "^2:", line, "process 1 tears it down when all others have ended")
	}
}

func TestASuiteWithoutHostsDoesNotReadTheConfiguration(t *testing.T) {
	log, output, passed := run(t, ``, "", sharing, "CHILD_COUNTS=yes")
	require.True(t, passed, output)
	assert.Equal(t, []string{""}, log)
}
