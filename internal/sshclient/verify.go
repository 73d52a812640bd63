package sshclient

import (
	"context"
	"errors"
	"fmt"

	xssh "golang.org/x/crypto/ssh"
)

// A verifier is [Options.Verify].
type verifier func(ctx context.Context, run func(ctx context.Context, cmd string) (stdout string, err error)) error

// check returns the connection of a login if the machine is the right one, and otherwise
// closes it.
func (v verifier) check(ctx context.Context, conn *wireClient) (*wireClient, error) {
	if v == nil {
		return conn, nil
	}
	if err := v(ctx, conn.run); err != nil {
		conn.ssh.Close()
		return nil, err
	}
	return conn, nil
}

// maxVerifyOutput limits what is kept of the output of a command of a verifier, in bytes.
const maxVerifyOutput = 64 << 10

// run runs a command on a connection that belongs to no client yet, and returns its
// standard output. A command that fails is no error. When ctx ends before the command
// does, run closes the session.
func (w *wireClient) run(ctx context.Context, cmd string) (string, error) {
	out := newOutput(maxVerifyOutput)
	opened := make(chan *xssh.Session, 1)
	ended := make(chan error, 1)
	go func() { // ends with the session, or with the connection
		s, err := w.ssh.NewSession()
		if err == nil {
			s.Stdout = out.stream(&out.stdout)
			opened <- s
			err = s.Run(cmd)
			s.Close()
		}
		ended <- err
	}()
	select {
	case err := <-ended:
		return out.result().Stdout, w.orLost(err)
	case <-ctx.Done():
	}
	select {
	case s := <-opened:
		s.Close()
	default:
	}
	return "", context.Cause(ctx)
}

// orLost returns nil for a command that failed, and an [ErrConnectionLost] if the
// connection has ended.
func (w *wireClient) orLost(err error) error {
	var failed *xssh.ExitError
	var refused *xssh.OpenChannelError
	switch {
	case err == nil, errors.As(err, &failed):
		return nil
	case errors.As(err, &refused):
		return err
	}
	if _, _, gone := w.ssh.SendRequest(keepAliveRequest, true, nil); gone != nil {
		return fmt.Errorf("%w: %w", ErrConnectionLost, err)
	}
	return err
}
