package suite_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What is kept after a failure is kept wherever something has failed: in the
// process that has the host, or in another that uses it, in a spec, or before
// or after all specs.
func TestAHostIsKeptWhateverHasFailed(t *testing.T) {
	for name, test := range map[string]struct {
		conf, fails string
		more        []string
		kept        []string // in which processes; all others tear down
	}{
		"nothing":                           {conf: `one.noted = "10.0.0.1"`},
		"a spec in one process":             {conf: `one.noted = "10.0.0.1"`, fails: "process 2", kept: []string{"2"}},
		"BeforeSuite":                       {conf: `one.noted = "10.0.0.1"`, fails: "BeforeSuite", kept: []string{"1", "2"}},
		"AfterSuite":                        {conf: `one.noted = "10.0.0.1"`, fails: "AfterSuite", kept: []string{"1", "2"}},
		"nothing that uses the shared host": {conf: `one { noted = "10.0.0.1", scope = suite }`, more: []string{sharing}},
		"a spec that uses another's host":   {conf: `one { noted = "10.0.0.1", scope = suite }`, fails: "process 2", more: []string{sharing}, kept: []string{"1"}},
		"a spec that uses its own":          {conf: `one { noted = "10.0.0.1", scope = suite }`, fails: "process 1", more: []string{sharing}, kept: []string{"1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log, output, passed := play(t, test.conf, "one", append(test.more, "CHILD_FAILS="+test.fails, "OVERCAST_KEEP=on-failure")...)
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

// An attempt that fails is no failure if another passes.
func TestAHostIsNotKeptForAnAttempt(t *testing.T) {
	log, output, passed := playWith(t, []string{"-procs=1", "--flake-attempts=2"}, `one.noted = "10.0.0.1"`, "one", "CHILD_FAILS=first", "OVERCAST_KEEP=on-failure")
	require.True(t, passed, output)
	assert.Equal(t, 1, count(log, "1: tear down one"), "%q", log)
}
