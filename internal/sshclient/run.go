package sshclient

import (
	"context"
	"fmt"
	"io"

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
//     whatever session. Not ended are processes that have cleared their
//     environment and left the session (on dropbear, where commands have none
//     of their own: whose parent has ended), and those of users whom the
//     account may not send signals, as after a sudo in the command. Run waits
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
	r, err := c.runAsConfigured(ctx, cmd)
	if err != nil {
		return r, &OperationError{fmt.Sprintf("running %q on %s", cmd, c), err}
	}
	return r, nil
}

func (c *Client) runAsConfigured(ctx context.Context, cmd string) (Result, error) {
	if c.endpoint.ConnectionType.Elevates() {
		return c.runElevated(ctx, cmd)
	}
	e := execution{cmd: cmd, pty: c.endpoint.AllocatePty}
	if c.opts.TrackProcesses {
		e.mark = newMark()
		e.cmd = e.mark.wrap(cmd)
	}
	return c.run(ctx, e)
}

// run executes with both streams kept up to the bound.
func (c *Client) run(ctx context.Context, e execution) (Result, error) {
	out := newOutput(c.opts.MaxOutput)
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
