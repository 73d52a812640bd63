package ssh

import (
	"errors"

	xssh "golang.org/x/crypto/ssh"
)

// opened opens a channel, or fails when the connection has ended. The library
// beneath does not see to that: a channel that is opened while it takes note
// of the end waits for an answer for ever. Nothing else comes of one that is
// left behind.
func opened[T any](c *Client, open func() (T, error)) (T, error) {
	type outcome struct {
		channel T
		err     error
	}
	done := make(chan outcome, 1)
	go func() {
		channel, err := open()
		done <- outcome{channel, err}
	}()
	select {
	case o := <-done:
		var refused *xssh.OpenChannelError
		if o.err != nil && !errors.As(o.err, &refused) {
			c.awaitEnd() // it may have noticed before we did, in words of its own
			if lost := c.Err(); lost != nil {
				o.err = lost
			}
		}
		return o.channel, o.err
	case <-c.done:
		var none T
		return none, c.Err()
	}
}
