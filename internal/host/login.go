package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/internal/sshclient/hostkey"
	"github.com/overcast-go/overcast/internal/sshclient/sshconfig"
	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
	"github.com/overcast-go/overcast/provider"
)

// target is where and how to log in. The error is an [ErrNoLogin] if the
// configuration does not say.
func (h *Host) target() (sshurl.Target, error) {
	url := h.settings.ConnectionURL()
	if url == "" {
		return sshurl.Target{}, fmt.Errorf(`%w: set connection.url = "ssh://user@{0}?privateKeyFile=..."`, ErrNoLogin)
	}
	return sshurl.ParseURL(sshurl.ExpandHost(url, h.instance.Address()))
}

// User is the user that Run logs in as.
func (h *Host) User() (string, error) {
	target, err := h.target()
	if err != nil {
		return "", err
	}
	return sshconfig.LoginName(target)
}

// Client returns the connection that all users of the host share. It logs in if
// there is none or if it was lost. One goroutine logs in; the others wait for it
// under their own contexts.
func (h *Host) Client(ctx context.Context) (*sshclient.Client, error) { return h.connect(ctx, 0) }

// connect is Client with a timeout for the TCP connection. 0 is no timeout.
func (h *Host) connect(ctx context.Context, timeout time.Duration) (*sshclient.Client, error) {
	select {
	case h.loginSemaphore <- struct{}{}:
		defer func() { <-h.loginSemaphore }()
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for another login: %w", context.Cause(ctx))
	}
	if h.life.Err() != nil {
		return nil, context.Cause(h.life)
	}
	if h.client != nil {
		select {
		case <-h.client.Done(): // lost
			_ = h.client.Close()
			h.client = nil
		default:
			return h.client, nil
		}
	}
	ctx, cancel := h.whileUp(ctx)
	defer cancel()
	target, err := h.target()
	if err != nil {
		return nil, err
	}
	client, err := h.dial(ctx, target, h.keys, timeout)
	if err != nil {
		return nil, err
	}
	h.client = client
	return client, nil
}

// whileUp returns a context that also ends when the host is torn down.
func (h *Host) whileUp(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(h.life, func() { cancel(context.Cause(h.life)) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

// dial logs in by the route to the host, with a timeout for the TCP connection.
func (h *Host) dial(ctx context.Context, target sshurl.Target, keys hostkey.Checker, timeout time.Duration) (*sshclient.Client, error) {
	options := &sshclient.Options{HostKeys: keys, ConnectTimeout: timeout, TrackProcesses: true}
	if h.route.Reach() != provider.ReachDirect {
		options.Dialer = h.route.WithTimeout(timeout)
	}
	return sshclient.Dial(ctx, target, options)
}

// How often a login to a booting machine is tried. A machine without network does
// not answer, and the system sends its next packets after 1, 3 and 7 s: a new
// connection gets an answer sooner.
const (
	firstLoginPause = 50 * time.Millisecond
	lastLoginPause  = 250 * time.Millisecond
	connectTimeout  = 2 * time.Second
	attemptTimeout  = 10 * time.Second
)

// awaitLogin waits until a login succeeds, at most for provision.startTimeout. A
// permanent error and an outage of the host end the wait at once.
func (h *Host) awaitLogin(ctx context.Context) error {
	target, err := h.target()
	if err != nil {
		return err
	}
	caller, limit := ctx, h.settings.Provision.StartTimeout
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("provision.startTimeout of %v expired", limit))
	defer cancel()
	pause := firstLoginPause
	var last error
	for attempts := 1; ; attempts++ {
		attempt, done := context.WithTimeout(ctx, attemptTimeout)
		_, err := h.connect(attempt, connectTimeout)
		done()
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil { // an attempt that the timeout ends says nothing new
			last = err
		}
		failed := fmt.Errorf("logging in as %s: %w after %d attempts: %w", target, ErrNotReachable, attempts, last)
		if isPermanent(last) {
			return failed
		}
		select {
		case <-ctx.Done():
			return h.loginTimeout(ctx, caller, target, failed)
		case <-time.After(pause):
			pause = min(2*pause, lastLoginPause)
		}
	}
}

// loginTimeout is the error of a wait for a login whose context has ended. failed is
// the error of the last attempt, and caller the context of the caller.
func (h *Host) loginTimeout(ctx, caller context.Context, target sshurl.Target, failed error) error {
	if outage := provider.OutageCause(ctx); outage != nil { // the attempts explain nothing
		return fmt.Errorf("logging in as %s: %w", target, outage)
	}
	if _, outage := provider.OutageOf(h.instance); outage != nil {
		return fmt.Errorf("%w: %w: %w", failed, context.Cause(ctx), outage)
	}
	return fmt.Errorf("%w: %w%s", failed, context.Cause(ctx), h.explain(caller))
}

// explain is what the provider says about a host that accepts no login.
func (h *Host) explain(ctx context.Context) string {
	d, ok := h.instance.(provider.Diagnoser)
	if !ok || ctx.Err() != nil {
		return ""
	}
	return ": " + d.Explain(ctx)
}

// isPermanent reports whether a retry cannot help: the configuration or a key is
// wrong. A refused login is not permanent, because sshd of a booting machine may
// start before its accounts exist. The hypervisor is not booting.
func isPermanent(err error) bool {
	return sshclient.IsPermanent(err) ||
		(errors.Is(err, provider.ErrHypervisorNotReachable) && errors.Is(err, sshclient.ErrLoginRefused))
}
