package ssh

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
)

// Commands for sudo and su are wrapped in a script that first prints a mark.
// What comes before the mark is between sudo and us: warnings, the lecture,
// the prompt. What comes after is the command's. So a refusal by sudo is never
// taken for a failure of the command. The mark is given in two halves, as sudo
// may repeat the command line when it refuses.
const (
	plainScript = `printf %s%s "$1" "$2" >&2; exec sh -c "$3" </dev/null`
	ptyScript   = `stty -opost -echo 2>/dev/null; printf %s%s "$1" "$2"; exec sh -c "$3" </dev/null`
)

// maxBefore bounds what is kept of the talk before the mark.
const maxBefore = 64 << 10

// runElevated runs cmd as the user that the connection type is to become.
func (c *Client) runElevated(ctx context.Context, cmd string) (Result, error) {
	out := newOutput(c.opts.MaxOutput)
	e := newElevation(c.endpoint, out.full)
	x := execution{cmd: e.wrap(cmd), pty: e.pty, abort: out.full}
	x.stdout, x.stderr = out.stream(&out.stdout), out.stream(&out.stderr)
	if e.pty == (Pty{}) {
		x.stderr = e.after(x.stderr)
	} else {
		x.stdout = e.after(x.stdout)
	}
	if e.how != SUDO {
		x.dialogue = e.talk
	}
	status, err := c.execute(ctx, x)
	r := out.result()
	r.ExitCode, r.Signal = status.code, status.signal
	if err == nil {
		err = e.verdict()
	}
	if err != nil {
		return r, fmt.Errorf("running a command on %s: %w", c, err)
	}
	return r, nil
}

// An elevation is the talk with sudo or su for one command.
type elevation struct {
	how      ConnectionType
	user     string
	pty      Pty
	password secret
	prompt   string // what sudo is told to ask
	mark     [2]string
	abort    chan<- error

	mu       sync.Mutex
	stdin    io.Writer
	before   bytes.Buffer
	marked   bool
	answered bool
}

func newElevation(t endpoint, abort chan<- error) *elevation {
	e := &elevation{how: t.ConnectionType, user: t.become(), pty: t.AllocatePty, password: t.password, abort: abort}
	e.mark = [2]string{"overcast:" + rand.Text(), rand.Text()}
	e.prompt = "overcast:" + rand.Text() + ": "
	if e.how != SUDO {
		e.pty = cmp.Or(e.pty, defaultPty) // they ask on a terminal only
	}
	if e.how == SU && t.suPassword.text != nil {
		e.password = t.suPassword
	}
	return e
}

// wrap is the command line for the login shell.
func (e *elevation) wrap(cmd string) string {
	script := plainScript
	if e.pty != (Pty{}) {
		script = ptyScript
	}
	inner := "sh -c " + quote(script) + " sh " + e.mark[0] + " " + e.mark[1] + " " + quote(cmd)
	switch e.how {
	case SU:
		return "su " + quote(e.user) + " -c " + quote(inner)
	case InteractiveSudo:
		return "sudo -u " + quote(e.user) + " -p " + quote(e.prompt) + " " + inner
	default:
		return "sudo -u " + quote(e.user) + " -n " + inner
	}
}

// talk is given what the prompt is answered on.
func (e *elevation) talk(stdin io.WriteCloser) {
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
		talk, rest, found := bytes.Cut(e.before.Bytes(), []byte(e.mark[0]+e.mark[1]))
		if found {
			e.marked = true
			next.Write(rest)
			e.before.Truncate(len(talk))
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
	case e.password.text == nil:
		e.fail("a password is asked for, and the URL has none")
	default:
		e.answered = true
		e.before.Reset()
		if _, err := io.WriteString(e.stdin, e.password.reveal()+"\n"); err != nil {
			e.fail("the password cannot be sent: " + err.Error())
		}
	}
}

func (e *elevation) asked() bool {
	if e.how == SU {
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
	said := strings.ReplaceAll(e.before.String(), e.prompt, "")
	said = strings.TrimSpace(e.password.hide(strings.ReplaceAll(said, "\r", "")))
	return &ElevationError{How: e.how, User: e.user, Reason: reason, Output: said}
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
