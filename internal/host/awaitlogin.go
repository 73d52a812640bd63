package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/overcast-go/overcast/internal/mark"
	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
	"github.com/overcast-go/overcast/provider"
)

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
// permanent error, repeated refusals (see refusals) and an outage of the host end the
// wait at once.
func (h *Host) awaitLogin(ctx context.Context) error {
	target, err := h.target()
	if err != nil {
		return err
	}
	caller, limit := ctx, h.settings.Provision.StartTimeout
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("provision.startTimeout of %v expired", limit))
	defer cancel()
	try := h.loginAttempts(target)
	refused := refusals{limit: h.refusalLimit}
	pause := firstLoginPause
	var last error
	for attempts := 1; ; attempts++ {
		err := try(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil { // an attempt that the timeout ends says nothing new
			last = refused.note(err, time.Now())
		}
		failed := fmt.Errorf("logging in as %s: %w after %d attempts: %w", target, ErrNotReachable, attempts, last)
		if isPermanent(last) {
			return failed
		}
		if refused.areFinal(time.Now()) && !h.createsAccounts() {
			return refused.err(target)
		}
		if refused.count > 0 {
			pause = refusedPause
		}
		select {
		case <-ctx.Done():
			return h.loginTimeout(ctx, caller, target, failed)
		case <-time.After(pause):
			pause = min(2*pause, lastLoginPause)
		}
	}
}

// loginAttempts returns a function that tries to log in. All attempts use one
// evaluation of the ssh configuration.
func (h *Host) loginAttempts(target sshurl.Target) func(context.Context) error {
	var login *sshclient.Login
	return func(ctx context.Context) (err error) {
		if login == nil {
			if login, err = sshclient.Resolve(ctx, target, h.options(h.keys, connectTimeout)); err != nil {
				return err
			}
		}
		ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
		defer cancel()
		_, err = h.shared.Get(ctx, login.Dial)
		return err
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
	if errors.Is(failed, sshclient.ErrLoginRefused) { // the machine and its sshd answer
		return fmt.Errorf("%w: %w", failed, context.Cause(ctx))
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

// createsAccounts reports whether the accounts of the host may appear after its sshd.
func (h *Host) createsAccounts() bool {
	c, ok := h.instance.(provider.AccountCreator)
	return ok && c.CreatesAccounts()
}

// isPermanent reports whether a retry cannot help: the configuration or a key is
// wrong. One refused login is not permanent, see refusals; but the hypervisor is not
// booting.
func isPermanent(err error) bool {
	return sshclient.IsPermanent(err) ||
		(errors.Is(err, provider.ErrHypervisorNotReachable) && errors.Is(err, sshclient.ErrLoginRefused))
}

// Refused logins of a booting machine: its accounts and home directories may appear
// some time after its sshd, but not much later.
const (
	minRefusals  = 3
	refusalLimit = 7 * time.Second // with one more attempt, less than 10 s
	refusedPause = time.Second     // sshd may block an address after many refusals
)

// refusals counts the logins in a row that the machine has refused. The zero value is
// none.
type refusals struct {
	limit time.Duration // from the first refusal until they are final
	count int
	since time.Time // of the first one
	last  error
}

// note takes the error of an attempt. It returns the last refusal if there was one
// and the machine still accepts connections: sshd may close those of an address that
// it has refused. Otherwise it returns err.
func (r *refusals) note(err error, now time.Time) error {
	var dial *sshclient.DialError
	switch {
	case errors.Is(err, sshclient.ErrLoginRefused):
		if r.count == 0 {
			r.since = now
		}
		r.count++
		r.last = err
	case r.count == 0 || sshclient.IsPermanent(err) || !errors.As(err, &dial) || dial.Phase == sshclient.PhaseConnect:
		r.count = 0
		return err
	}
	return r.last
}

// areFinal reports whether there were enough refusals for long enough.
func (r *refusals) areFinal(now time.Time) bool {
	return r.count >= minRefusals && now.Sub(r.since) >= r.limit
}

// err is the error of a wait that refusals have ended.
func (r *refusals) err(target sshurl.Target) error {
	return mark.As(fmt.Errorf("logging in as %s: refused %d times in a row: check the user, the key and the password: %w", target, r.count, r.last), ErrNotReachable)
}
