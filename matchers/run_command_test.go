package matchers_test

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/overcast-go/overcast/internal/sshclient/sshtest"
	. "github.com/overcast-go/overcast/matchers"
)

func TestRunCommand(t *testing.T) {
	host, _ := serve(t, sshtest.Config{})
	passes(t, RunCommand("echo out; echo err >&2"), host, text(host, `Expected
    %s, as tester
not to run a command successfully
tried: echo out; echo err >&2
found: exited with 0, stdout "out\n", stderr "err\n"
attempts: 1`))
	passes(t, RunCommand("echo out; echo err >&2; exit 3").WithExitCode(3).WithStdout("out\n").WithStderr(HavePrefix("err")), host, text(host, `Expected
    %s, as tester
not to run a command, with exit code 3, with stdout "out\n", with stderr satisfying the given matcher
tried: echo out; echo err >&2; exit 3
found: exited with 3, stdout "out\n", stderr "err\n"
attempts: 1`))
	fails(t, RunCommand("echo why >&2; exit 4").WithStdout("out\n"), host, text(host, `Expected
    %s, as tester
to run a command successfully, with stdout "out\n"
tried: echo why >&2; exit 4
found: exited with 4, stdout empty, stderr "why\n"
attempts: 1`))
	fails(t, RunCommand("echo why").WithExitCode(1), host, text(host, `Expected
    %s, as tester
to run a command, with exit code 1
tried: echo why
found:
    exit code:
    Expected
        <int>: 0
    to equal
        <int>: 1
    the command exited with 0, stdout "why\n", stderr empty
attempts: 1`))
	fails(t, RunCommand("echo one").WithStdout(Equal("two\n")), host, text(host, `Expected
    %s, as tester
to run a command successfully, with stdout satisfying the given matcher
tried: echo one
found:
    stdout:
    Expected
        <string>: one\n
    to equal
        <string>: two\n
attempts: 1`))
	fails(t, RunCommand("true").WithStderr("warning"), host, text(host, `Expected
    %s, as tester
to run a command successfully, with stderr "warning"
tried: true
found:
    stderr:
    Expected
        <string>: 
    to equal
        <string>: warning
attempts: 1`))
}

func TestRunCommandThatTakesTooLongIsAnError(t *testing.T) {
	host, _ := serve(t, sshtest.Config{})
	m := RunCommand("sleep 60").Within(testPace)
	_, err := m.Match(host)
	require.ErrorContains(t, err, "no answer within 100ms")
	assert.NotEmpty(t, failureOf(func(g Gomega) { g.Expect(host).NotTo(m) }))
}

func TestRunCommandRefusesAnEmptyCommand(t *testing.T) {
	unknown(t, RunCommand(""), gone{}, "RunCommand: the command is empty")
}

func TestRunCommandHidesSecrets(t *testing.T) {
	host, _ := serve(t, sshtest.Config{})
	m := RunCommand("echo 'curl https://me:sesame@site/'; false")
	ok, err := m.Match(host)
	require.NoError(t, err)
	assert.False(t, ok)
	assert.Contains(t, m.FailureMessage(host), "https://me:********@site/")
	assert.NotContains(t, m.FailureMessage(host), "sesame")
	_, err = RunCommand("curl https://me:sesame@site/").Match(gone{})
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "sesame")
}

func TestRunCommandShowsTheEndOfALongOutput(t *testing.T) {
	host, _ := serve(t, sshtest.Config{})
	m := RunCommand("head -c 100000 /dev/zero | tr '\\0' x; echo the end; false")
	ok, err := m.Match(host)
	require.NoError(t, err)
	assert.False(t, ok)
	assert.Less(t, len(m.FailureMessage(host)), 1000)
	assert.Contains(t, m.FailureMessage(host), `the end\n" (first 99508 bytes omitted)`)
	assert.Equal(t, 1, strings.Count(m.FailureMessage(host), "attempts"))
}
