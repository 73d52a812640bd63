package ssh

import (
	"errors"

	xssh "golang.org/x/crypto/ssh"
)

// openChannel opens a channel, and fails when the connection ends. The library
// does not guarantee the latter: a channel that is opened while the library
// handles the end of the connection waits for an answer without limit. In that
// case the goroutine that opens it is left behind.
func openChannel[T any](n *connection, open func() (T, error)) (T, error) {
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
			n.awaitEnd() // the library may notice the end before watch does
			if lost := n.err(); lost != nil {
				o.err = lost
			}
		}
		return o.channel, o.err
	case <-n.done:
		var none T
		return none, n.err()
	}
}
