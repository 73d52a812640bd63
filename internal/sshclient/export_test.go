package sshclient

import (
	"time"
)

// WithIdleTime sets after which time a connection that is not used is closed.
func WithIdleTime(o *Options, idle time.Duration) *Options {
	o.idleTime = idle
	return o
}

// Waiting is how many requests for a session wait in the queue.
func Waiting(c *Client) int {
	c.sessions.mu.Lock()
	defer c.sessions.mu.Unlock()
	return len(c.sessions.queue)
}

// ClosesConnections is closesConnections.
var ClosesConnections = closesConnections

// DialErr is why the last login for more sessions failed.
func DialErr(c *Client) error {
	c.sessions.mu.Lock()
	defer c.sessions.mu.Unlock()
	return c.sessions.dialErr
}

// Open is how many sessions are open.
func Open(c *Client) int {
	c.sessions.mu.Lock()
	defer c.sessions.mu.Unlock()
	open := 0
	for _, n := range c.sessions.conns {
		open += n.open
	}
	return open
}
