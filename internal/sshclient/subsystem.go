package sshclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
)

// ErrNoSubsystem means that the machine has no such subsystem.
var ErrNoSubsystem = errors.New("the machine does not offer the subsystem")

// A Subsystem is a session in which the server runs a subsystem, such as SFTP.
type Subsystem struct {
	client  *Client
	session *session
}

// OpenSubsystem opens a session with a subsystem and calls start with its input and
// output. If the server has no such subsystem, or if start fails, the error wraps
// [ErrNoSubsystem].
func (c *Client) OpenSubsystem(ctx context.Context, name string, start func(io.WriteCloser, io.Reader) error) (*Subsystem, error) {
	handle := newSessionHandle()
	return do(ctx, c, operation[*Subsystem]{
		work: func() (*Subsystem, error) {
			defer close(handle.ended)
			s, err := c.sessions.openSession(ctx, false)
			if err != nil {
				return nil, err
			}
			if err := s.startSubsystem(handle, name, start); err != nil {
				s.Close()
				s.release()
				return nil, s.conn.orLost(err)
			}
			return &Subsystem{c, s}, nil
		},
		interrupt: handle.close,
		grace:     cancelGrace,
		discard:   func(s *Subsystem) { s.Close(func() {}) },
	})
}

func (s *session) startSubsystem(handle *sessionHandle, name string, start func(io.WriteCloser, io.Reader) error) error {
	if !handle.set(s) {
		return context.Canceled
	}
	in, err := s.StdinPipe()
	if err != nil {
		return err
	}
	out, err := s.StdoutPipe()
	if err != nil {
		return err
	}
	if err = s.RequestSubsystem(name); err == nil {
		err = start(in, out)
	}
	if err != nil {
		// Some servers accept the request and have no program for it.
		return fmt.Errorf("%w %s (%v)", ErrNoSubsystem, name, err)
	}
	return nil
}

// Do calls step, which uses the subsystem. The end of ctx ends the subsystem.
func (s *Subsystem) Do(ctx context.Context, step func() error) error {
	_, err := do(ctx, s.client, operation[struct{}]{
		work:      func() (struct{}, error) { return struct{}{}, s.session.conn.orLost(step()) },
		interrupt: func() { s.session.Close() },
		grace:     cancelGrace,
	})
	return err
}

// Close calls end, which ends the protocol of the subsystem, and closes the
// session. It waits until the program of the server has ended, which counts as a
// session until then.
func (s *Subsystem) Close(end func()) {
	ended := make(chan struct{})
	if !s.client.spawn(func() {
		defer close(ended)
		limit := time.AfterFunc(cancelGrace, func() { s.session.Close() })
		end()
		s.session.awaitClose()
		limit.Stop()
		s.session.Close()
		s.session.release()
	}) {
		return // the client was closed, and the session with it
	}
	waitTimeout(ended, cancelGrace, s.client.ctx.Done())
}

// Pauses between the requests of awaitClose.
const (
	firstClosePause = time.Millisecond
	lastClosePause  = 50 * time.Millisecond
)

// awaitClose waits until the session is closed. A server closes it when its program has ended,
// which is after the end of the output. On a closed session, a request fails.
func (s *session) awaitClose() {
	for pause := firstClosePause; ; pause = min(2*pause, lastClosePause) {
		if _, err := s.SendRequest(keepAliveRequest, true, nil); err != nil {
			return
		}
		select {
		case <-time.After(pause):
		case <-s.conn.done:
			return
		}
	}
}

// Target is the machine and user of the login, completed from the ssh
// configuration.
func (c *Client) Target() sshurl.Target { return c.endpoint.Target }

// RunAsLoginUser runs a command with the login shell, whatever the connection
// type is. It copies stdin to the command and what the command prints to stdout
// and stderr, each of which may be nil, and returns its exit code.
func (c *Client) RunAsLoginUser(ctx context.Context, cmd string, stdin io.Reader, stdout, stderr io.Writer) (exitCode int, err error) {
	status, err := c.execute(ctx, execution{cmd: cmd, stdin: stdin, stdout: stdout, stderr: stderr})
	return status.code, err
}
