package sshclient

import (
	"fmt"
	"time"
)

// keepAliveRequest is the request that OpenSSH uses. Any answer to it will
// do; most servers refuse it.
const keepAliveRequest = "keepalive@openssh.com"

// keepAlive sends a request at each interval, and ends the connection when the
// machine has answered none for KeepAliveMisses intervals. Without it, an
// operation on a half-open connection would wait without limit.
func (n *connection) keepAlive() {
	opts := n.client.opts
	ticker := time.NewTicker(opts.KeepAlive)
	defer ticker.Stop()
	answered := make(chan error, 1)
	waiting, missed := false, 0
	for {
		select {
		case <-n.done:
			return
		case err := <-answered:
			if err != nil {
				return // the connection has ended
			}
			waiting, missed = false, 0
		case <-ticker.C:
			if waiting {
				if missed++; missed >= opts.KeepAliveMisses {
					n.end(fmt.Errorf("no answer to keepalive requests for %s", time.Duration(missed)*opts.KeepAlive))
					return
				}
				continue
			}
			waiting = true
			n.client.spawn(func() {
				_, _, err := n.ssh.SendRequest(keepAliveRequest, true, nil)
				answered <- err
			})
		}
	}
}
