package matchers

import (
	"fmt"
	"strings"
	"time"

	"github.com/overcast-go/overcast/fixture"
)

// RunCommand succeeds if the host's shell runs a command and the command exits
// with code 0. It is an error if the command cannot be run or does not end within
// the time limit. Every attempt of Eventually runs the command again, so it should
// not change the host.
//
// The matcher has these methods; each returns the matcher:
//
//	WithExitCode(code any)        another exit code: an int or a matcher of int
//	WithStdout(output any)        the standard output: a string or a matcher of string
//	WithStderr(output any)        the standard error: a string or a matcher of string
//	Within(limit time.Duration)   time limit of one attempt (default 2 s)
//
// The host needs the method Run.
func RunCommand(cmd string) *runCommandMatcher {
	return &runCommandMatcher{evaluator: evaluator[runner]{matcher: "RunCommand"}, cmd: cmd}
}

type runCommandMatcher struct {
	evaluator[runner]
	cmd                      string
	exitCode, stdout, stderr *expectation
}

// WithExitCode sets the expected exit code.
func (m *runCommandMatcher) WithExitCode(code any) *runCommandMatcher {
	m.exitCode = expect(code)
	return m
}

// WithStdout sets the expected standard output.
func (m *runCommandMatcher) WithStdout(output any) *runCommandMatcher {
	m.stdout = expect(output)
	return m
}

// WithStderr sets the expected standard error.
func (m *runCommandMatcher) WithStderr(output any) *runCommandMatcher {
	m.stderr = expect(output)
	return m
}

// Within sets the time limit of one attempt.
func (m *runCommandMatcher) Within(limit time.Duration) *runCommandMatcher {
	m.limit = limit
	return m
}

// Match implements Gomega's matcher.
func (m *runCommandMatcher) Match(actual any) (bool, error) {
	if err := checkText(m.matcher, "command", m.cmd); err != nil {
		return false, err
	}
	wanted := "to run a command" + m.exitCode.text("exit code") + m.stdout.text("stdout") + m.stderr.text("stderr")
	if m.exitCode == nil {
		wanted = strings.Replace(wanted, "to run a command", "to run a command successfully", 1)
	}
	return evaluateCommand(&m.evaluator, actual, wanted, m.cmd, m.judge)
}

func (m *runCommandMatcher) judge(result fixture.Result) (verdict, error) {
	if m.exitCode == nil && result.ExitCode != 0 {
		return verdict{found: describeResult(result)}, nil
	}
	return judgeAll(describeResult(result),
		func() (verdict, error) { return m.judgeExitCode(result) },
		func() (verdict, error) { return m.stdout.judge("stdout", result.Stdout) },
		func() (verdict, error) { return m.stderr.judge("stderr", result.Stderr) })
}

// judgeExitCode adds what the command printed to a mismatch.
func (m *runCommandMatcher) judgeExitCode(result fixture.Result) (verdict, error) {
	got, err := m.exitCode.judge("exit code", result.ExitCode)
	if err == nil && !got.ok {
		got.found += fmt.Sprintf("\nthe command %s", describeResult(result))
	}
	return got, err
}
