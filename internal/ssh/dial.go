package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	xssh "golang.org/x/crypto/ssh"
)

// Dial connects to a machine and logs in. It honours ctx and the target's
// timeout in every phase, and fails with a [*DialError].
func Dial(ctx context.Context, t Target, opts *Options) (*Client, error) {
	o := opts.withDefaults()
	timeout := t.loginTimeout()
	ctx, cancel := context.WithTimeoutCause(ctx, timeout,
		fmt.Errorf("not done within %s (connectionTimeoutMillis sets that): %w", timeout, context.DeadlineExceeded))
	defer cancel()
	s, err := readSettings(&o)
	if err != nil {
		return nil, &DialError{PhaseSettings, t.addr(), err}
	}
	d := dialing{opts: o, settings: s, dialer: o.Dialer}
	return d.connect(ctx, t, o.HostKeys)
}

// dialing is the way to one machine.
type dialing struct {
	opts     Options
	settings *settings
	dialer   Dialer
	under    *Client // the machine before this one, when we opened it ourselves
	depth    int
}

func (d dialing) connect(ctx context.Context, t Target, hostKeys HostKeys) (*Client, error) {
	e, err := d.settings.complete(t, hostKeys)
	if err != nil {
		return nil, &DialError{PhaseSettings, t.addr(), err}
	}
	agent := d.opts.AgentSocket
	if e.agent != "" && !d.opts.agentGiven {
		agent = e.agent
	}
	if agent == NoAgent {
		agent = ""
	}
	cred, err := gather(ctx, e, agent)
	if err != nil {
		return nil, &DialError{PhaseSettings, e.addr(), err}
	}
	defer cred.close()
	if d.dialer == nil {
		if d.under, err = d.jump(ctx, e); err != nil {
			return nil, err
		}
		if d.dialer = (&net.Dialer{Timeout: d.opts.ConnectTimeout}); d.under != nil {
			d.dialer = d.under
		}
	}
	conn, err := d.login(ctx, e, cred)
	if err != nil {
		d.under.Close()
		return nil, err
	}
	loginAgain := func(ctx context.Context) (*xssh.Client, error) {
		cred, err := gather(ctx, e, agent)
		if err != nil {
			return nil, &DialError{PhaseSettings, e.addr(), err}
		}
		defer cred.close()
		return d.login(ctx, e, cred)
	}
	return newClient(conn, loginAgain, e, d.under, d.opts), nil
}

// login connects until the machine shows a key that can be judged: one whose
// fingerprint alone is known is asked for each type in turn.
func (d dialing) login(ctx context.Context, e endpoint, cred *credentials) (*xssh.Client, error) {
	algorithms := preferring(e.hostKeys.KeyTypes(e.addr()))
	var refused *HostKeyMismatchError
	for {
		conn, err := d.open(ctx, e.addr())
		if err != nil {
			return nil, err
		}
		h := handshake{endpoint: e, cred: cred, algorithms: algorithms}
		client, err := h.run(ctx, conn)
		if err == nil {
			return client, nil
		}
		judge, picky := e.hostKeys.(hostKeyJudge)
		if !picky || !judge.wantsAnother() {
			return nil, err
		}
		var mismatch *HostKeyMismatchError
		switch {
		case errors.As(err, &mismatch) && refused == nil:
			refused = mismatch
		case errors.As(err, &mismatch):
			refused.Got = append(refused.Got, mismatch.Got...)
		case refused != nil && phaseOf(err) == PhaseHandshake:
			// It has no key of the types that are left.
			return nil, &DialError{PhaseHostKey, e.addr(), refused}
		default:
			return nil, err
		}
		if algorithms = without(algorithms, h.keyType); len(algorithms) == 0 {
			return nil, &DialError{PhaseHostKey, e.addr(), refused}
		}
	}
}

func phaseOf(err error) Phase {
	var e *DialError
	if errors.As(err, &e) {
		return e.Phase
	}
	return ""
}

// open makes the connection beneath, and tells a name that does not exist
// from a machine that does not answer.
func (d dialing) open(ctx context.Context, addr string) (net.Conn, error) {
	conn, err := d.dialer.DialContext(ctx, "tcp", addr)
	if err == nil {
		return conn, nil
	}
	phase := PhaseConnect
	var dns *net.DNSError
	if errors.As(err, &dns) {
		phase = PhaseName
	}
	return nil, &DialError{phase, addr, orCause(ctx, err)}
}

// orCause is why ctx ended, if it did, because what failed then failed for
// that reason.
func orCause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// A handshake makes an SSH connection out of a TCP connection.
type handshake struct {
	endpoint   endpoint
	cred       *credentials
	algorithms []string

	mu      sync.Mutex // the key is judged on a goroutine of the transport
	judged  bool
	keyErr  error
	keyType string
}

func (h *handshake) run(ctx context.Context, conn net.Conn) (*xssh.Client, error) {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	c, channels, requests, err := xssh.NewClientConn(conn, h.endpoint.addr(), &xssh.ClientConfig{
		User:              h.endpoint.User,
		Auth:              h.cred.methods(),
		HostKeyCallback:   h.judge,
		HostKeyAlgorithms: h.algorithms,
		ClientVersion:     "SSH-2.0-overcast",
	})
	if !stop() && err == nil {
		c.Close()
		err = context.Cause(ctx)
	}
	if err != nil {
		conn.Close()
		return nil, h.explain(orCause(ctx, err))
	}
	return xssh.NewClient(c, channels, requests), nil
}

func (h *handshake) judge(addr string, _ net.Addr, key xssh.PublicKey) error {
	err := h.endpoint.hostKeys.Check(addr, key)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.judged, h.keyErr, h.keyType = true, err, key.Type()
	return err
}

// explain says which phase err ended.
func (h *handshake) explain(err error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := &DialError{PhaseHandshake, h.endpoint.addr(), err}
	switch {
	case h.keyErr != nil:
		e.Phase, e.Err = PhaseHostKey, h.keyErr
	case h.judged:
		e.Phase, e.Err = PhaseLogin, &LoginError{
			User: h.endpoint.User, Addr: h.endpoint.addr(),
			Tried: h.cred.tried, Skipped: h.cred.skipped, Err: err,
		}
	}
	return e
}
