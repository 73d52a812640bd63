package sshclient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
	xssh "golang.org/x/crypto/ssh"
)

// Run runs a command with the login shell of the machine, or by sudo or su as
// the connection type says, and waits for its end. Its standard input is empty.
// A command that fails is no error, see [Result]. Errors are an [*OperationError].
//
// # Many commands at once
//
// A connection has at most 10 sessions, or fewer if the server refuses more
// (MaxSessions of OpenSSH). For more commands at once, Run opens up to 8 more
// connections, one login at a time, and closes them when they have been idle
// for 10 s. Other callers wait in a queue, in their order, until they get a
// session or their context ends. Transfers need a session, too. A command takes
// about 70 KB of memory in this process while it runs, besides its output, and
// 15 KB while it waits.
//
// dropbear 2022.82 to 2024.85 sometimes closes a connection on which commands
// run at the same time. With these versions a connection has one session.
//
// # Cancellation
//
// When ctx ends, Run ends the command and returns the cause of ctx, with what
// the command has printed so far. How it ends it depends on the options:
//
//   - With [Options.TrackProcesses], and always by sudo and su, Run opens a
//     second session, which sends SIGTERM to all processes of the command and
//     half a second later SIGKILL to those that are left. These are all
//     processes in the session of the command, their descendants, and all
//     that have the environment variable OVERCAST_RUN of the command, in
//     whatever session. Run does not end processes that have cleared their
//     environment and left the session (on dropbear, where a command has no
//     session of its own: that have lost their parent), and processes of other
//     users to which the account may not send signals, as after sudo. Run waits
//     for at most 3 s; the second session goes on until Close. It needs /proc
//     and grep on the machine.
//   - Otherwise, and where that has no effect, Run has the server send SIGTERM
//     and half a second later SIGKILL, and closes the session. OpenSSH sends
//     them to the process group of the shell, and before version 9.8 sends none
//     if the login is root's; dropbear sends them to the shell alone.
//
// [Client.Close] ends commands in the same way. When the connection is lost, the
// server closes the streams of the commands and lets them run: neither OpenSSH
// nor dropbear sends a signal, except to commands on a terminal (SIGHUP).
func (c *Client) Run(ctx context.Context, cmd string) (Result, error) {
	return c.RunWatched(ctx, cmd, io.Discard)
}

// RunWatched is Run that also writes to watch what the command prints, as it arrives and
// up to the bound for output. The writes of both streams are one after another.
func (c *Client) RunWatched(ctx context.Context, cmd string, watch io.Writer) (Result, error) {
	r, err := c.runAsConfigured(ctx, cmd, watch)
	if err != nil {
		return r, &OperationError{fmt.Sprintf("running %q on %s", cmd, c), err}
	}
	return r, nil
}

func (c *Client) runAsConfigured(ctx context.Context, cmd string, watch io.Writer) (Result, error) {
	out := newOutput(c.opts.MaxOutput)
	out.watch = watch
	if c.endpoint.ConnectionType.Elevates() {
		return c.runElevated(ctx, cmd, out)
	}
	e := execution{cmd: cmd, pty: c.endpoint.AllocatePty}
	if c.opts.TrackProcesses {
		e.mark = newMark()
		e.cmd = e.mark.wrap(cmd)
	}
	return c.run(ctx, e, out)
}

// run executes with both streams kept in out.
func (c *Client) run(ctx context.Context, e execution, out *output) (Result, error) {
	e.stdout, e.stderr, e.abort = out.stream(&out.stdout), out.stream(&out.stderr), out.full
	flush := func() {}
	if e.mark != nil {
		var flushStdout, flushStderr func()
		e.stdout, flushStdout = e.mark.strip(e.stdout)
		e.stderr, flushStderr = e.mark.strip(e.stderr)
		flush = func() { flushStdout(); flushStderr() }
	}
	status, err := c.execute(ctx, e)
	flush()
	r := out.result()
	r.ExitCode, r.Signal = status.code, status.signal
	return r, err
}

// An execution is one command as the server gets it.
type execution struct {
	cmd            string
	mark           *mark // of its processes; nil if they are not marked
	urgent         bool  // gets a session ahead of others, and during Close
	pty            sshurl.Pty
	stdin          io.Reader
	stdout, stderr io.Writer
	dialogue       func(stdin io.WriteCloser) // to be given stdin in place of a reader
	abort          <-chan error               // ends the command early; may be nil
}

// execute runs e until it, ctx or its abort channel ends.
func (c *Client) execute(ctx context.Context, e execution) (status, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stopWatching := make(chan struct{})
	defer close(stopWatching)
	if e.abort != nil {
		c.spawn(func() {
			select {
			case err := <-e.abort:
				cancel(err)
			case <-stopWatching:
			}
		})
	}
	handle := newSessionHandle()
	op := operation[status]{
		work: func() (status, error) {
			defer close(handle.ended)
			return c.runInSession(ctx, handle, e)
		},
		interrupt: handle.endCommand,
		grace:     cancelGrace,
	}
	if e.mark != nil {
		e.mark.ended = handle.ended
		op.interrupt = func() { handle.endProcesses(e.mark) }
		op.grace = reapGrace
	}
	return do(ctx, c, op)
}

// runInSession opens a session, runs e in it and waits for its end.
func (c *Client) runInSession(ctx context.Context, handle *sessionHandle, e execution) (status, error) {
	s, err := c.sessions.openSession(ctx, e.urgent)
	if err != nil {
		return status{}, err
	}
	defer handle.finish(s)
	if !handle.set(s) {
		return status{}, context.Canceled
	}
	s.Stdin, s.Stdout, s.Stderr = e.stdin, e.stdout, e.stderr
	if e.dialogue != nil {
		stdin, err := s.StdinPipe()
		if err != nil {
			return status{}, err
		}
		e.dialogue(stdin)
	}
	if e.pty != (sshurl.Pty{}) {
		if err := s.RequestPty(e.pty.Term, e.pty.Rows, e.pty.Columns, plainTerminal); err != nil {
			return status{}, s.conn.orLost(fmt.Errorf("asking for a terminal: %w", err))
		}
	}
	if e.mark != nil && !e.urgent {
		if !c.reaper.add(e.mark) {
			return status{}, c.Err()
		}
		defer c.reaper.remove(e.mark)
	}
	if err := s.Start(e.cmd); err != nil {
		return status{}, s.conn.orLost(fmt.Errorf("starting it: %w", err))
	}
	return s.exitStatus(s.conn.orLost(s.Wait()))
}

// plainTerminal neither repeats what is typed nor changes line ends.
var plainTerminal = xssh.TerminalModes{xssh.ECHO: 0, xssh.OPOST: 0, xssh.ONLCR: 0}

// A Result is what a command has printed, and how it has ended.
type Result struct {
	Stdout string
	Stderr string // empty on a terminal, which has only one stream
	// ExitCode is the exit code, or 128+n for a command that signal n ended. It
	// is 128 where the server does not report which signal it was: OpenSSH
	// reports ABRT, ALRM, FPE, HUP, ILL, INT, KILL, PIPE, QUIT, SEGV, TERM, USR1
	// and USR2, dropbear before 2025 the same, and later all but real-time
	// signals. This is about the shell itself, and the program that it has
	// replaced itself with (bash does so with the last command). A program
	// that a signal ended in a shell that goes on, as in "prog; exit $?", has
	// the exit code that the shell gives it, 128+n.
	ExitCode int
	// Signal is the name of that signal without SIG, as in "KILL", or "unknown".
	// It is empty if no signal ended the shell.
	Signal string
}

type status struct {
	code   int
	signal string
}

// unknownSignal is [Result.Signal] where the server does not report which
// signal it was.
const unknownSignal = "unknown"

// signalNumbers are the signals of Linux that servers name: OpenSSH the first
// 13 of them, dropbear since 2025 all that have a name.
var signalNumbers = map[string]int{
	"ABRT": 6, "ALRM": 14, "FPE": 8, "HUP": 1, "ILL": 4, "INT": 2, "KILL": 9, "PIPE": 13, "QUIT": 3, "SEGV": 11,
	"TERM": 15, "USR1": 10, "USR2": 12,
	"TRAP": 5, "BUS": 7, "STKFLT": 16, "XCPU": 24, "XFSZ": 25, "VTALRM": 26, "PROF": 27, "IO": 29, "POLL": 29, "PWR": 30, "SYS": 31,
}

// exitStatus reads how a command has ended. For a signal that they have no name
// for, OpenSSH sends the name SIG@openssh.com, and dropbear nothing.
func (s *session) exitStatus(err error) (status, error) {
	var exit *xssh.ExitError
	var silent *xssh.ExitMissingError
	switch {
	case errors.As(err, &silent) && strings.Contains(string(s.conn.ssh.ServerVersion()), "dropbear"):
		return status{128, unknownSignal}, nil
	case !errors.As(err, &exit):
		return status{}, err
	case exit.Signal() == "":
		return status{code: exit.ExitStatus()}, nil
	}
	if number, known := signalNumbers[exit.Signal()]; known {
		return status{128 + number, exit.Signal()}, nil
	}
	return status{128, unknownSignal}, nil
}

// output keeps what a command prints up to a bound on both streams together.
// It may still be written to after its command was given up.
type output struct {
	mu             sync.Mutex
	limit, left    int
	stdout, stderr bytes.Buffer
	watch          io.Writer  // gets what is kept
	full           chan error // gets an error when the bound is passed
}

func newOutput(limit int) *output {
	return &output{limit: limit, left: limit, watch: io.Discard, full: make(chan error, 1)}
}

// stream is a writer onto one of the buffers.
func (o *output) stream(b *bytes.Buffer) io.Writer {
	return writerFunc(func(p []byte) (int, error) {
		o.mu.Lock()
		defer o.mu.Unlock()
		kept := p[:min(len(p), o.left)]
		b.Write(kept)
		_, _ = o.watch.Write(kept)
		o.left -= len(kept)
		if len(kept) < len(p) {
			select {
			case o.full <- &OutputLimitError{o.limit}:
			default: // it was reported before
			}
		}
		return len(p), nil // the rest is read and dropped, so that the command can end
	})
}

func (o *output) result() Result {
	o.mu.Lock()
	defer o.mu.Unlock()
	return Result{Stdout: o.stdout.String(), Stderr: o.stderr.String()}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
