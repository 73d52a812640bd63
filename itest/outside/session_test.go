//go:build linux

package outside

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// session is a lab that waits while tests look at it.
type session struct {
	*lab
	command int // process of the lab's command
	stdin   io.Closer
}

// opened is the one that tests share, once openSession has started it.
var opened *session

var openSession = sync.OnceValues(func() (*session, error) {
	var err error
	opened, err = newSession("LAB_ACCEL=tcg")
	return opened, err
})

func newSession(env ...string) (*session, error) {
	stdin, feed, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer stdin.Close()
	l, err := launch(how{env: env, stdin: stdin}, "sh", "-c", "echo up; exec cat")
	if err != nil {
		return nil, err
	}
	s := &session{lab: l, stdin: feed}
	if err := errors.Join(l.openNamespace(), l.await(l.out, "up\n")); err != nil {
		return s, err
	}
	missing := await(ready, func() []string {
		for _, pid := range l.inside() {
			if program(pid) == "cat" {
				s.command = pid
				return nil
			}
		}
		return []string{"cat"}
	})
	if len(missing) > 0 {
		return s, errors.New("the lab's command is not among its processes")
	}
	return s, nil
}

// shared is the lab that tests share. They define nothing in
// it that they do not take away, under names of their own.
func shared(t *testing.T) *session {
	t.Helper()
	s, err := openSession()
	require.NoError(t, err)
	return s
}

// another is a second such lab, of the test's own.
func another(t *testing.T) *session {
	t.Helper()
	s, err := newSession()
	if s != nil {
		t.Cleanup(s.end)
	}
	require.NoError(t, err)
	return s
}

// endSession ends the shared lab, if a test has started it, in the usual way:
// its command ends by itself, and well.
func endSession() error {
	if opened == nil {
		return nil
	}
	defer opened.end()
	opened.stdin.Close()
	select {
	case <-opened.ended:
	case <-time.After(ready):
		return errors.New("the lab that tests share does not end")
	}
	if code := opened.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("the lab that tests share ended with %d after a command that ended with 0", code)
	}
	return nil
}

// environment is what the lab's command was given.
func (s *session) environment(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", s.command))
	require.NoError(t, err)
	values := map[string]string{}
	for pair := range strings.SplitSeq(strings.TrimSuffix(string(text), "\x00"), "\x00") {
		name, value, _ := strings.Cut(pair, "=")
		values[name] = value
	}
	return values
}

// path is where a file of the lab's is, seen from outside.
func (s *session) path(name string) string {
	return fmt.Sprintf("/proc/%d/root%s", s.command, name)
}

// sh runs a script in the lab, beside its command and in its environment, and
// answers with its output.
func (s *session) sh(t *testing.T, script string) string {
	t.Helper()
	cmd := exec.Command("nsenter", "--target", strconv.Itoa(s.command),
		"--mount", "--net", "--pid", "--ipc", "--uts", "--wd=/", "sh", "-e", "-c", script)
	for name, value := range s.environment(t) {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	require.NoError(t, cmd.Run(), "%s\n%s", script, &complaint)
	return out.String()
}
