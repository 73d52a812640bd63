package sshclient

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	xssh "golang.org/x/crypto/ssh"
)

// Limits of a session pool.
const (
	maxExtraConnections = 8                      // besides the first one
	maxSessions         = 10                     // of one connection: what OpenSSH allows by default
	extraDelay          = 100 * time.Millisecond // how long a caller waits before another connection is opened
	growFirst           = 20 * time.Millisecond  // pause before one session more is tried after a refusal
	growLast            = 5 * time.Second
	dialRetryFirst      = time.Second // pause after a login that failed
	dialRetryLast       = 30 * time.Second
)

// A sessionPool opens sessions. Servers limit the sessions of one connection and do not
// announce the limit: they refuse a session. Callers that get no session wait in a
// queue; further connections are opened for them, one login at a time, and
// closed when they are idle.
type sessionPool struct {
	client *Client
	login  func(context.Context) (*wireClient, error)
	ctx    context.Context // ends when the first connection does
	cancel context.CancelFunc

	mu        sync.Mutex
	conns     []*pooledConn     // the first one is the client's first connection
	queue     []*sessionRequest // in their order
	requests  uint64            // how many there were
	dialing   bool              // a login is under way
	dialErr   error             // why the last login failed
	dialPause time.Duration     // before the next login
	timer     *time.Timer       // starts the next login; nil if none is planned
	closed    bool
}

// A pooledConn is a connection with the number of its sessions. What the server
// allows is learned: a refusal sets the limit to the number of open sessions,
// and then it grows again, by one after each pause, as the server may only not
// have noticed the end of another session yet.
type pooledConn struct {
	*connection
	used  int // sessions that are open, or being opened
	open  int // those that are open
	lost  int // sessions that were abandoned, and that the server may still count
	limit int // how many there may be
	most  int // how far the limit grows
	spare int // how many more there may be for urgent requests

	allows bool          // the server has allowed a session
	pause  time.Duration // the last pause before the limit was to grow
	grow   *time.Timer   // ends the pause; nil if there is none
	idle   *time.Timer   // closes an extra connection; nil while it is in use
}

func newPooledConn(n *connection, limit int) *pooledConn {
	if closesConnections(string(n.ssh.ServerVersion())) {
		return &pooledConn{connection: n, limit: 1, most: 1, spare: 1}
	}
	return &pooledConn{connection: n, limit: limit, most: maxSessions}
}

// closesConnections reports whether a server has a bug of dropbear 2022.82 to
// 2024.85: it closes the connection when a command ends at the moment when
// another session is open and has no command yet. On such a server only one
// command at a time uses a connection.
func closesConnections(version string) bool {
	_, release, _ := strings.Cut(version, "dropbear_")
	return release >= "2022.82" && release < "2024.86"
}

func (n *pooledConn) hasRoom(r *sessionRequest) bool {
	limit := n.limit
	if r.urgent {
		limit += n.spare
	}
	return n.used+n.lost < limit
}

// A sessionRequest is the place of a caller in the queue.
type sessionRequest struct {
	number  uint64
	urgent  bool             // ahead of all others; may take one connection more
	granted chan *pooledConn // has room for one
}

func (r *sessionRequest) compare(other *sessionRequest) int {
	switch {
	case r == other:
		return 0
	case r.urgent != other.urgent && r.urgent, r.urgent == other.urgent && r.number < other.number:
		return -1
	}
	return 1
}

// A session is an open session and its share of the limit.
type session struct {
	*xssh.Session
	conn *pooledConn
	pool *sessionPool
}

func newSessionPool(c *Client, first *connection, login func(context.Context) (*wireClient, error)) *sessionPool {
	p := &sessionPool{client: c, login: login, conns: []*pooledConn{newPooledConn(first, maxSessions)}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

// openSession opens a session. It waits for one as long as ctx lasts. Requests
// that are urgent are served during Close as well.
func (p *sessionPool) openSession(ctx context.Context, urgent bool) (*session, error) {
	p.mu.Lock()
	p.requests++
	r := &sessionRequest{number: p.requests, urgent: urgent, granted: make(chan *pooledConn, 1)}
	p.enqueue(r)
	p.dispatch()
	p.mu.Unlock()
	for {
		n, err := p.await(ctx, r)
		if err != nil {
			return nil, err
		}
		s, err := openChannel(n.connection, n.ssh.NewSession)
		if err == nil {
			p.opened(n)
			return &session{Session: s, conn: n, pool: p}, nil
		}
		if !p.failed(n, r, err) {
			return nil, fmt.Errorf("opening a session: %w", err)
		}
	}
}

// release returns the share of a session that has ended on the machine.
func (s *session) release() {
	s.pool.update(s.conn, func(n *pooledConn) { n.used--; n.open-- })
}

// abandon is release for a session that was closed while its command may still
// run: OpenSSH counts it until the command has ended.
func (s *session) abandon() {
	s.pool.update(s.conn, func(n *pooledConn) { n.used--; n.open--; n.lost++ })
}

// enqueue adds a request to the queue, in the order of the requests. The lock is held.
func (p *sessionPool) enqueue(r *sessionRequest) {
	at, _ := slices.BinarySearchFunc(p.queue, r, (*sessionRequest).compare)
	p.queue = slices.Insert(p.queue, at, r)
}

// await waits until a queued request gets a connection with room.
func (p *sessionPool) await(ctx context.Context, r *sessionRequest) (*pooledConn, error) {
	closing := p.client.ctx.Done()
	if r.urgent {
		closing = nil
	}
	var err error
	select {
	case n := <-r.granted:
		return n, nil
	case <-p.client.first.done:
		err = p.client.Err()
	case <-closing:
		err = p.client.Err()
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	return nil, p.withdraw(r, err)
}

// withdraw removes a request from the queue, and describes its wait.
func (p *sessionPool) withdraw(r *sessionRequest, err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := slices.Index(p.queue, r)
	if at < 0 { // it was granted meanwhile
		n := <-r.granted
		n.used--
		p.settle(n)
		return err
	}
	p.queue = slices.Delete(p.queue, at, at+1)
	used := 0
	for _, n := range p.conns {
		used += n.used
	}
	wait := fmt.Sprintf("connections: %d, sessions in use: %d, requests ahead: %d", len(p.conns), used, at)
	if p.dialErr != nil {
		return fmt.Errorf("waiting for a session (%s, opening another connection: %w): %w", wait, p.dialErr, err)
	}
	return fmt.Errorf("waiting for a session (%s): %w", wait, err)
}

// dispatch grants requests while there is room. The lock is held.
func (p *sessionPool) dispatch() {
	for len(p.queue) > 0 {
		r := p.queue[0]
		at := slices.IndexFunc(p.conns, func(n *pooledConn) bool { return n.hasRoom(r) })
		if at < 0 {
			p.extend(extraDelay)
			return
		}
		n := p.conns[at]
		p.queue = p.queue[1:]
		n.used++
		n.idle = stop(n.idle)
		r.granted <- n
	}
}

// opened counts a session.
func (p *sessionPool) opened(n *pooledConn) {
	p.update(n, func(n *pooledConn) {
		n.open++
		n.allows = true
		if n.open+n.lost >= n.limit {
			n.limit, n.pause = min(n.open+n.lost, n.most), 0
		}
	})
}

// failed is called when a session could not be opened. It reports whether the request
// was queued again: here, so that no later request is served before it.
func (p *sessionPool) failed(n *pooledConn, r *sessionRequest, err error) (again bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n.used--
	defer p.settle(n)
	var refused *xssh.OpenChannelError
	if !errors.As(err, &refused) {
		return false
	}
	if !n.allows && n.used == 0 {
		if n == p.conns[0] {
			return false
		}
		p.enqueue(r)
		p.dialFailed(fmt.Errorf("it allows no session: %w", err))
		p.drop(n)
		return true
	}
	p.enqueue(r)
	n.limit = n.open + n.lost
	p.growLater(n)
	return true
}

// growLater lets the limit of a connection grow after a pause. The lock is held.
func (p *sessionPool) growLater(n *pooledConn) {
	if n.grow != nil || n.limit >= n.most || p.closed {
		return
	}
	n.pause = min(max(2*n.pause, growFirst), growLast)
	n.grow = time.AfterFunc(n.pause, func() {
		p.update(n, func(n *pooledConn) {
			n.grow = nil
			n.limit++
			p.growLater(n)
		})
	})
}

func (p *sessionPool) update(n *pooledConn, change func(*pooledConn)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(n)
	p.settle(n)
}

// settle is called after a change of a connection: it serves the queue, and
// starts the timer that closes an idle connection. The lock is held.
func (p *sessionPool) settle(n *pooledConn) {
	p.dispatch()
	if n.used > 0 || n.idle != nil || p.closed || slices.Index(p.conns, n) < 1 {
		return
	}
	n.idle = time.AfterFunc(p.client.opts.idleTime, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if n.used == 0 {
			p.drop(n)
		}
	})
}

// drop closes an extra connection. The lock is held.
func (p *sessionPool) drop(n *pooledConn) {
	if at := slices.Index(p.conns, n); at > 0 {
		p.conns = slices.Delete(p.conns, at, at+1)
	}
	n.idle, n.grow = stop(n.idle), stop(n.grow)
	n.end(errors.New("not needed any longer"))
}

// stop stops a timer, if there is one, and returns nil.
func stop(t *time.Timer) *time.Timer {
	if t != nil {
		t.Stop()
	}
	return nil
}

// extend plans the login of another connection, if there may be one more. The
// lock is held.
func (p *sessionPool) extend(after time.Duration) {
	if p.timer != nil || p.dialing || p.closed || !p.mayExtend() {
		return
	}
	p.timer = time.AfterFunc(max(after, p.dialPause), func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.timer = nil
		if !p.closed && p.mayExtend() {
			p.dialing = p.client.spawn(p.dial)
		}
	})
}

// mayExtend reports whether a request waits, and may have another connection.
func (p *sessionPool) mayExtend() bool {
	extra := len(p.conns) - 1
	return len(p.queue) > 0 && (extra < maxExtraConnections || extra == maxExtraConnections && p.queue[0].urgent)
}

// dial opens another connection. It is a task of the client.
func (p *sessionPool) dial() {
	ctx, cancel := context.WithTimeout(p.ctx, p.client.endpoint.LoginTimeout())
	defer cancel()
	conn, err := p.login(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dialing = false
	if err == nil {
		err = p.add(conn)
	}
	if err != nil {
		p.dialFailed(err)
	}
	p.extend(0)
}

func (p *sessionPool) dialFailed(err error) {
	p.dialErr = err
	p.dialPause = min(max(2*p.dialPause, dialRetryFirst), dialRetryLast)
}

// add takes a new connection into use. The lock is held.
func (p *sessionPool) add(conn *wireClient) error {
	n := newPooledConn(newConnection(p.client, conn), max(1, p.conns[0].limit))
	if p.closed || !n.start(func() { p.update(n, p.drop) }) {
		conn.ssh.Close()
		return ErrClosed
	}
	p.dialErr, p.dialPause = nil, 0
	p.conns = append(p.conns, n)
	p.settle(n)
	return nil
}

// close closes the extra connections. Nothing is granted any longer.
func (p *sessionPool) close(cause error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.cancel()
	p.timer = stop(p.timer)
	for at, n := range p.conns {
		n.idle, n.grow = stop(n.idle), stop(n.grow)
		if at > 0 {
			n.end(cause)
		}
	}
}
