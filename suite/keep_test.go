package suite_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A host with keep = "on-failure" is kept wherever the failure is: in the process
// that set it up or in another one that uses it, in a spec or in a suite node.
func TestAHostIsKeptAfterAFailureAnywhere(t *testing.T) {
	for name, test := range map[string]struct {
		conf, fails string
		more        []string
		kept        []string // by these processes; all others tear down
	}{
		"no failure":                   {conf: `one.noted = "10.0.0.1"`},
		"a spec in one process":        {conf: `one.noted = "10.0.0.1"`, fails: "process 2", kept: []string{"2"}},
		"BeforeSuite":                  {conf: `one.noted = "10.0.0.1"`, fails: "BeforeSuite", kept: []string{"1", "2"}},
		"AfterSuite":                   {conf: `one.noted = "10.0.0.1"`, fails: "AfterSuite", kept: []string{"1", "2"}},
		"no failure, a shared host":    {conf: `one { noted = "10.0.0.1", scope = suite }`, more: []string{sharing}},
		"a spec in another process":    {conf: `one { noted = "10.0.0.1", scope = suite }`, fails: "process 2", more: []string{sharing}, kept: []string{"1"}},
		"a spec in the host's process": {conf: `one { noted = "10.0.0.1", scope = suite }`, fails: "process 1", more: []string{sharing}, kept: []string{"1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log, output, passed := run(t, test.conf, "one", append(test.more, "CHILD_FAILS="+test.fails, "OVERCAST_KEEP=on-failure")...)
			require.Equal(t, test.fails == "", passed, output)
			for _, process := range []string{"1", "2"} {
				kept, made := 0, count(log, process+": set up one")
				if strings.Contains(strings.Join(test.kept, ""), process) {
					kept = 1
				}
				assert.Equal(t, kept, count(log, process+": keep one"), "%q", log)
				assert.Equal(t, made-kept, count(log, process+": tear down one"), "%q", log)
			}
		})
	}
}

func TestAHostIsNotKeptForAFailedAttemptOfASpecThatPasses(t *testing.T) {
	log, output, passed := runWith(t, []string{"-procs=1", "--flake-attempts=2"}, `one.noted = "10.0.0.1"`, "one", "CHILD_FAILS=first", "OVERCAST_KEEP=on-failure")
	require.True(t, passed, output)
	assert.Equal(t, 1, count(log, "1: tear down one"), "%q", log)
}
