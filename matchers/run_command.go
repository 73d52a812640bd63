package matchers

import (
	"fmt"
	"strings"
	"time"

	"github.com/overcast-go/overcast/fixture"
)

// RunCommand succeeds if the host's shell runs the command, and it exits with 0
// or with what WithExitCode wants, and prints what WithStdout and WithStderr
// want. It needs the method Run. That it could not be run, or did not end in
// time, is an error.
//
// The command is run anew at every attempt of Eventually, so that it had
// better change nothing.
func RunCommand(cmd string) *RunCommandMatcher { return &RunCommandMatcher{cmd: cmd} }

// RunCommandMatcher is made by [RunCommand].
type RunCommandMatcher struct {
	attempts
	cmd                      string
	stdout, stderr, exitCode *expectation
}

// WithStdout wants an output: a string, or a matcher of string.
func (m *RunCommandMatcher) WithStdout(output any) *RunCommandMatcher {
	m.stdout = expect(output)
	return m
}

// WithStderr wants an error output: a string, or a matcher of string.
func (m *RunCommandMatcher) WithStderr(output any) *RunCommandMatcher {
	m.stderr = expect(output)
	return m
}

// WithExitCode wants an exit code: a number, or a matcher of int.
func (m *RunCommandMatcher) WithExitCode(code any) *RunCommandMatcher {
	m.exitCode = expect(code)
	return m
}

// Within bounds an attempt, which may take 2 s otherwise.
func (m *RunCommandMatcher) Within(bound time.Duration) *RunCommandMatcher {
	m.bound = bound
	return m
}

// Match is Gomega's.
func (m *RunCommandMatcher) Match(actual any) (bool, error) {
	if err := checkText("RunCommand", "command", m.cmd); err != nil {
		return false, err
	}
	wanted := "to run a command" + m.exitCode.of("with exit code") + m.stdout.of("with output") + m.stderr.of("with error output")
	if m.exitCode == nil {
		wanted = strings.Replace(wanted, "to run a command", "to run a command successfully", 1)
	}
	return askShell(&m.attempts, "RunCommand", actual, wanted, m.cmd, m.judge)
}

func (m *RunCommandMatcher) judge(result fixture.Result) (answer, error) {
	if m.exitCode == nil && result.ExitCode != 0 {
		return answer{found: ending(result)}, nil
	}
	return all(ending(result),
		func() (answer, error) { return m.exitCode.againstResult("exit code", result.ExitCode, result) },
		func() (answer, error) { return m.stdout.against("output", result.Stdout) },
		func() (answer, error) { return m.stderr.against("error output", result.Stderr) })
}

// againstResult adds to a mismatch what the command said.
func (e *expectation) againstResult(what string, value any, result fixture.Result) (answer, error) {
	got, err := e.against(what, value)
	if err == nil && !got.ok {
		got.found += fmt.Sprintf("\nthe command %s", ending(result))
	}
	return got, err
}

// MatchMayChangeInTheFuture is Gomega's.
func (m *RunCommandMatcher) MatchMayChangeInTheFuture(actual any) bool {
	return mayChange[runner](&m.attempts, actual)
}
