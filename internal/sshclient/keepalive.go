package sshclient

import (
	"fmt"
	"time"
)

// keepAliveRequest is the request that OpenSSH uses. Any answer shows that the
// machine works; most servers refuse the request.
const keepAliveRequest = "keepalive@openssh.com"

// keepAlive sends a request at each interval, and ends the connection when the
// machine has sent nothing for KeepAliveMisses intervals: neither an answer nor
// other data. During a slow upload, the answer waits behind the data. Without
// keepalive, an operation on a half-open connection would wait without limit.
func (n *connection) keepAlive() {
	opts := n.client.opts
	ticker := time.NewTicker(opts.KeepAlive)
	defer ticker.Stop()
	answered := make(chan error, 1)
	waiting, missed, seen := false, 0, n.received.Load()
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
			if received := n.received.Load(); received != seen {
				seen, missed = received, 0
			} else if waiting {
				missed++
			}
			if missed >= opts.KeepAliveMisses {
				n.end(fmt.Errorf("no answer to keepalive requests for %s", time.Duration(missed)*opts.KeepAlive))
				return
			}
			if waiting {
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
