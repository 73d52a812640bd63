package ssh

import (
	"fmt"
	"time"
)

// keepAliveRequest is the request that OpenSSH uses. Any answer to it will
// do; most servers refuse it.
const keepAliveRequest = "keepalive@openssh.com"

// keepAlive asks the machine for an answer at each interval and ends the
// connection when none came for so many intervals. Without it a connection
// whose other end has vanished without a word waits for ever.
func (c *Client) keepAlive() {
	ticker := time.NewTicker(c.opts.KeepAlive)
	defer ticker.Stop()
	answered := make(chan error, 1)
	waiting, missed := false, 0
	for {
		select {
		case <-c.done:
			return
		case err := <-answered:
			if err != nil {
				return // the connection has ended
			}
			waiting, missed = false, 0
		case <-ticker.C:
			if waiting {
				if missed++; missed >= c.opts.KeepAliveMisses {
					c.end(fmt.Errorf("no answer to keepalive requests for %s", time.Duration(missed)*c.opts.KeepAlive))
					return
				}
				continue
			}
			waiting = true
			c.spawn(func() {
				_, _, err := c.conn.SendRequest(keepAliveRequest, true, nil)
				answered <- err
			})
		}
	}
}
