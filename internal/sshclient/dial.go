package sshclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/overcast-go/overcast/internal/sshclient/credentials"
	"github.com/overcast-go/overcast/internal/sshclient/hostkey"
	"github.com/overcast-go/overcast/internal/sshclient/sshconfig"
	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
	xssh "golang.org/x/crypto/ssh"
)

// Dial connects to a machine and logs in. It honours ctx and the target's
// timeout in every phase, and fails with a [*DialError]. To try again until a
// machine accepts a login, use [Resolve] once and then [Login.Dial].
func Dial(ctx context.Context, t sshurl.Target, opts *Options) (*Client, error) {
	ctx, cancel := withLoginTimeout(ctx, t)
	defer cancel()
	l, err := Resolve(ctx, t, opts)
	if err != nil {
		return nil, err
	}
	return l.dial(ctx, l.opts.Dialer, nil)
}

// Dial connects and logs in, as the function Dial does.
func (l *Login) Dial(ctx context.Context) (*Client, error) {
	ctx, cancel := withLoginTimeout(ctx, l.endpoint.Target)
	defer cancel()
	return l.dial(ctx, l.opts.Dialer, nil)
}

func withLoginTimeout(ctx context.Context, t sshurl.Target) (context.Context, context.CancelFunc) {
	timeout := t.LoginTimeout()
	return context.WithTimeoutCause(ctx, timeout,
		fmt.Errorf("not done within %s (connectionTimeoutMillis sets that): %w", timeout, context.DeadlineExceeded))
}

// dial connects by a dialer; without one directly or by ProxyJump. under is the
// client that the dialer uses, if the new client is to close it.
func (l *Login) dial(ctx context.Context, dialer Dialer, under *Client) (*Client, error) {
	cred, err := l.credentials(ctx)
	if err != nil {
		return nil, err
	}
	defer cred.Close()
	if dialer == nil {
		if under, err = l.jump(ctx); err != nil {
			return nil, err
		}
		if dialer = (&net.Dialer{Timeout: l.opts.ConnectTimeout}); under != nil {
			dialer = under
		}
	}
	d := dialing{endpoint: l.endpoint, dialer: dialer, verify: l.opts.Verify}
	conn, err := d.login(ctx, cred)
	if err != nil {
		under.Close()
		return nil, err
	}
	loginAgain := func(ctx context.Context) (*wireClient, error) {
		cred, err := l.credentials(ctx)
		if err != nil {
			return nil, err
		}
		defer cred.Close()
		return d.login(ctx, cred)
	}
	return newClient(conn, loginAgain, l.endpoint, under, l.opts), nil
}

// dialing is a way to a machine.
type dialing struct {
	endpoint sshconfig.Endpoint
	dialer   Dialer
	verify   verifier // may be nil
}

// login connects, logs in and verifies the machine. If only the fingerprint of the host
// key is known, it connects again for each type of key until the machine shows the right
// one.
func (d dialing) login(ctx context.Context, cred *credentials.Credentials) (*wireClient, error) {
	e := d.endpoint
	algorithms := hostkey.Preferring(e.HostKeys.Algorithms(e.Addr()))
	var refused *hostkey.MismatchError
	for {
		conn, err := d.open(ctx, e.Addr())
		if err != nil {
			return nil, err
		}
		h := handshake{endpoint: e, cred: cred, algorithms: algorithms}
		received := new(atomic.Int64)
		client, err := h.run(ctx, conn, received)
		if err == nil {
			return d.verify.check(ctx, &wireClient{client, received})
		}
		judge, picky := e.HostKeys.(hostkey.Judge)
		if !picky || !judge.WantsAnother() {
			return nil, err
		}
		var mismatch *hostkey.MismatchError
		switch {
		case errors.As(err, &mismatch) && refused == nil:
			refused = mismatch
		case errors.As(err, &mismatch):
			refused.Got = append(refused.Got, mismatch.Got...)
		case refused != nil && phaseOf(err) == PhaseHandshake:
			// It has no key of the types that are left.
			return nil, &DialError{PhaseHostKey, e.Addr(), refused}
		default:
			return nil, err
		}
		if algorithms = hostkey.Without(algorithms, h.keyType()); len(algorithms) == 0 {
			return nil, &DialError{PhaseHostKey, e.Addr(), refused}
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

// open makes the TCP connection. The phase of its error is PhaseName if the name
// cannot be looked up.
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

// orCause returns the cause of ctx if ctx has ended, and err otherwise.
func orCause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// maxBanner limits how much of the banner of a server an error shows, in bytes.
const maxBanner = 1 << 10

// A handshake makes an SSH connection out of a TCP connection.
type handshake struct {
	endpoint   sshconfig.Endpoint
	cred       *credentials.Credentials
	algorithms []string

	mu     sync.Mutex     // the library calls judge and banner from its own goroutine
	key    xssh.PublicKey // of the server; nil before it has shown one
	keyErr error
	banner string
}

func (h *handshake) run(ctx context.Context, conn net.Conn, received *atomic.Int64) (*xssh.Client, error) {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	c, channels, requests, err := xssh.NewClientConn(countingConn{conn, received}, h.endpoint.Addr(), &xssh.ClientConfig{
		User:              h.endpoint.User,
		Auth:              h.cred.Methods(),
		HostKeyCallback:   h.judge,
		HostKeyAlgorithms: h.algorithms,
		BannerCallback:    h.keepBanner,
		ClientVersion:     "SSH-2.0-overcast",
	})
	if !stop() && err == nil {
		c.Close()
		err = context.Cause(ctx)
	}
	if err == nil {
		if err = h.confirm(); err != nil {
			c.Close()
		}
	}
	if err != nil {
		conn.Close()
		return nil, h.explain(orCause(ctx, err))
	}
	return xssh.NewClient(c, channels, requests), nil
}

func (h *handshake) judge(addr string, _ net.Addr, key xssh.PublicKey) error {
	err := h.endpoint.HostKeys.Check(addr, key)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.key, h.keyErr = key, err
	return err
}

// confirm reports the key of a successful login to a checker that learns it.
func (h *handshake) confirm() error {
	learner, ok := h.endpoint.HostKeys.(hostkey.Confirmer)
	if !ok {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.keyErr = learner.Confirm(h.endpoint.Addr(), h.key)
	return h.keyErr
}

func (h *handshake) keepBanner(text string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.banner += text[:min(len(text), maxBanner-len(h.banner))]
	return nil
}

func (h *handshake) keyType() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.key == nil {
		return ""
	}
	return h.key.Type()
}

// explain says in which phase err occurred.
func (h *handshake) explain(err error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := &DialError{PhaseHandshake, h.endpoint.Addr(), err}
	switch {
	case h.keyErr != nil:
		e.Phase, e.Err = PhaseHostKey, h.keyErr
	case h.key != nil:
		h.cred.SkipUnofferedPassword()
		e.Phase, e.Err = PhaseLogin, &LoginError{
			User: h.endpoint.User, Addr: h.endpoint.Addr(), Offered: h.cred.Offered,
			Tried: h.cred.Tried, Skipped: h.cred.Skipped, Banner: strings.TrimSpace(h.banner), Err: err,
			refused: isRefusal(err),
		}
	}
	return e
}

// isRefusal reports whether a login failed because the server accepted no method,
// and not because the connection ended.
func isRefusal(err error) bool {
	return errors.Is(err, credentials.ErrNotConfigured) || strings.Contains(err.Error(), "unable to authenticate")
}
