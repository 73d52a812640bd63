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
// timeout in every phase, and fails with a [*DialError].
func Dial(ctx context.Context, t sshurl.Target, opts *Options) (*Client, error) {
	o := opts.withDefaults()
	timeout := t.LoginTimeout()
	ctx, cancel := context.WithTimeoutCause(ctx, timeout,
		fmt.Errorf("not done within %s (connectionTimeoutMillis sets that): %w", timeout, context.DeadlineExceeded))
	defer cancel()
	s, err := sshconfig.Read(sshconfig.Options{Home: o.Home, ConfigFile: o.ConfigFile})
	if err != nil {
		return nil, &DialError{PhaseSettings, t.Addr(), err}
	}
	d := dialing{opts: o, settings: s, dialer: o.Dialer}
	return d.connect(ctx, t, o.HostKeys)
}

// dialing is the way to one machine.
type dialing struct {
	opts     Options
	settings *sshconfig.Settings
	dialer   Dialer
	under    *Client // the machine before this one, when we opened it ourselves
	depth    int
}

func (d dialing) connect(ctx context.Context, t sshurl.Target, hostKeys hostkey.Checker) (*Client, error) {
	e, err := d.settings.Resolve(ctx, t, hostKeys)
	if ctx.Err() != nil { // nothing is wrong with the settings
		return nil, &DialError{PhaseConnect, t.Addr(), context.Cause(ctx)}
	}
	if err != nil {
		return nil, &DialError{PhaseSettings, t.Addr(), err}
	}
	agent := d.opts.AgentSocket
	if e.Agent != "" && !d.opts.agentGiven {
		agent = e.Agent
	}
	if agent == NoAgent {
		agent = ""
	}
	cred, err := credentials.Gather(ctx, e, agent)
	if err != nil {
		return nil, &DialError{PhaseSettings, e.Addr(), err}
	}
	defer cred.Close()
	cred.Skipped = append(cred.Skipped, d.settings.Warnings...)
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
	loginAgain := func(ctx context.Context) (*wireClient, error) {
		cred, err := credentials.Gather(ctx, e, agent)
		if err != nil {
			return nil, &DialError{PhaseSettings, e.Addr(), err}
		}
		defer cred.Close()
		return d.login(ctx, e, cred)
	}
	return newClient(conn, loginAgain, e, d.under, d.opts), nil
}

// login connects until the machine shows a key that can be judged: one whose
// fingerprint alone is known is asked for each type in turn.
func (d dialing) login(ctx context.Context, e sshconfig.Endpoint, cred *credentials.Credentials) (*wireClient, error) {
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
			return &wireClient{client, received}, nil
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

// maxJumps ends a ProxyJump that leads back to itself.
const maxJumps = 8

// jump opens the machines of ProxyJump, each through the one before it, and
// gives the last one; nil when there are none. A machine's own ProxyJump
// counts only for the first, as with ssh.
func (d dialing) jump(ctx context.Context, e sshconfig.Endpoint) (*Client, error) {
	var last *Client
	for _, spec := range e.Jumps {
		err := errors.New("more than 8 machines in a row: does ProxyJump lead back to itself?")
		var next *Client
		if d.depth < maxJumps {
			next, err = d.hop(ctx, strings.TrimSpace(spec), last)
		}
		if err != nil {
			last.Close()
			phase := phaseOf(err)
			if phase == "" {
				phase = PhaseSettings
			}
			return nil, &DialError{phase, e.Addr(), fmt.Errorf("by way of %s (ProxyJump): %w", spec, err)}
		}
		last = next
	}
	return last, nil
}

func (d dialing) hop(ctx context.Context, spec string, last *Client) (*Client, error) {
	t, err := sshurl.ParseURL("ssh://" + strings.TrimPrefix(spec, "ssh://"))
	if err != nil {
		return nil, err
	}
	next := dialing{opts: d.opts, settings: d.settings, depth: d.depth + 1}
	if last != nil {
		next.dialer, next.under = last, last
	}
	return next.connect(ctx, t, nil)
}
