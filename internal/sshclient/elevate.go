package sshclient

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"io"
	"regexp"
	"strings"
	"sync"

	"github.com/overcast-go/overcast/internal/redact"
	"github.com/overcast-go/overcast/internal/shell"
	"github.com/overcast-go/overcast/internal/sshclient/sshconfig"
	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
)

// Commands for sudo and su are wrapped in a script that first prints a mark. Output
// before the mark comes from sudo or su: warnings and the prompt. Output after it
// comes from the command. So a refusal by sudo is not mistaken for a failure of the
// command. The script gets the mark in two halves, because sudo may print the command
// line when it refuses. The script also prints its process ID, and the mark is in the
// environment of the command's processes (see mark).
const (
	plainScript = `printf "%s%s:%s\n" "$1" "$2" $$ >&2; ` + exportMark + `exec sh -c "$3" </dev/null`
	ptyScript   = `stty -opost -echo 2>/dev/null; printf "%s%s:%s\n" "$1" "$2" $$; ` + exportMark + `exec sh -c "$3" </dev/null`
	exportMark  = markVariable + `=$1$2; export ` + markVariable + `; `
)

// maxBefore limits the output before the mark that is kept, in bytes.
const maxBefore = 64 << 10

// runElevated runs cmd by sudo or su, with both streams kept in out.
func (c *Client) runElevated(ctx context.Context, cmd string, out *output) (Result, error) {
	e := execution{cmd: cmd, abort: out.full}
	e.stdout, e.stderr = out.stream(&out.stdout), out.stream(&out.stderr)
	e, verdict := c.elevate(e, out.full)
	status, err := c.execute(ctx, e)
	r := out.result()
	r.ExitCode, r.Signal = status.code, status.signal
	if err == nil {
		err = verdict()
	}
	return r, err
}

// elevate makes the command run by sudo or su. verdict returns an error if they have
// not run it; an error that is sent to abort ends it early.
func (c *Client) elevate(x execution, abort chan<- error) (elevated execution, verdict func() error) {
	e := newElevation(c.endpoint, abort)
	x.cmd, x.mark, x.pty = e.wrap(x.cmd), e.mark, e.pty
	if e.pty == (sshurl.Pty{}) {
		x.stderr = e.after(x.stderr)
	} else {
		x.stdout = e.after(x.stdout)
	}
	if e.how != sshurl.SUDO {
		x.dialogue = e.setStdin
	}
	return x, e.verdict
}

// An elevation is the dialogue with sudo or su for one command.
type elevation struct {
	how      sshurl.ConnectionType
	user     string
	pty      sshurl.Pty
	password redact.Secret
	prompt   string // that sudo prints
	mark     *mark
	abort    chan<- error

	mu       sync.Mutex
	stdin    io.Writer
	before   bytes.Buffer
	marked   bool
	answered bool
}

func newElevation(t sshconfig.Endpoint, abort chan<- error) *elevation {
	e := &elevation{how: t.ConnectionType, user: t.Become(), pty: t.AllocatePty, password: t.Password(), abort: abort}
	e.mark = newMark()
	e.prompt = "overcast:" + rand.Text() + ": "
	if e.how != sshurl.SUDO {
		e.pty = cmp.Or(e.pty, sshurl.DefaultPty) // they ask on a terminal only
	}
	if e.how == sshurl.SU {
		e.password = t.SuPassword()
	}
	return e
}

// wrap is the command line for the login shell.
func (e *elevation) wrap(cmd string) string {
	script := plainScript
	if e.pty != (sshurl.Pty{}) {
		script = ptyScript
	}
	inner := "sh -c " + shell.Quote(script) + " sh " + e.mark.text[:13] + " " + e.mark.text[13:] + " " + shell.Quote(cmd)
	switch e.how {
	case sshurl.SU:
		return "su " + shell.Quote(e.user) + " -c " + shell.Quote(inner)
	case sshurl.InteractiveSudo:
		return "sudo -u " + shell.Quote(e.user) + " -p " + shell.Quote(e.prompt) + " " + inner
	default:
		return "sudo -u " + shell.Quote(e.user) + " -n " + inner
	}
}

// setStdin sets the standard input, on which the prompt is answered.
func (e *elevation) setStdin(stdin io.WriteCloser) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stdin = stdin
}

// after passes on what follows the mark.
func (e *elevation) after(next io.Writer) io.Writer {
	return writerFunc(func(p []byte) (int, error) {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.marked {
			return next.Write(p)
		}
		e.before.Write(p)
		if preamble, rest, found := e.mark.cutLine(e.before.Bytes()); found {
			e.marked = true
			next.Write(rest)
			e.before.Truncate(len(preamble))
			return len(p), nil
		}
		e.answer()
		if e.before.Len() > maxBefore {
			e.fail("it says more than can be made sense of")
			e.before.Reset()
		}
		return len(p), nil
	})
}

// questions of su are in the language of the machine: a last line that ends
// with a colon is one, since it says nothing else before it runs the command.
var suQuestion = regexp.MustCompile(`[^\s:][^\n]*: ?$`)

// answer gives the password once, when it is asked for.
func (e *elevation) answer() {
	if e.stdin == nil || !e.asked() {
		return
	}
	switch {
	case e.answered:
		e.fail("the password is refused")
	case !e.password.IsSet():
		e.fail("a password is asked for, and the URL has none")
	default:
		e.answered = true
		e.before.Reset()
		if _, err := io.WriteString(e.stdin, e.password.Reveal()+"\n"); err != nil {
			e.fail("the password cannot be sent: " + err.Error())
		}
	}
}

func (e *elevation) asked() bool {
	if e.how == sshurl.SU {
		return suQuestion.Match(e.before.Bytes())
	}
	return bytes.Contains(e.before.Bytes(), []byte(e.prompt))
}

func (e *elevation) fail(reason string) {
	select {
	case e.abort <- e.failure(reason):
	default: // it is being ended already
	}
}

func (e *elevation) failure(reason string) error {
	output := strings.ReplaceAll(e.before.String(), e.prompt, "")
	output = strings.TrimSpace(e.password.Hide(strings.ReplaceAll(output, "\r", "")))
	return &ElevationError{How: e.how, User: e.user, Reason: reason, Output: output}
}

// verdict is nil if the command was run.
func (e *elevation) verdict() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.marked {
		return nil
	}
	return e.failure("refused")
}
