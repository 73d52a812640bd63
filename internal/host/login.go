package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/overcast-go/overcast/internal/mark"
	"github.com/overcast-go/overcast/internal/redact"
	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/internal/sshclient/hostkey"
	"github.com/overcast-go/overcast/internal/sshclient/sshconfig"
	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
	"github.com/overcast-go/overcast/internal/trace"
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
func (h *Host) Client(ctx context.Context) (*sshclient.Client, error) {
	return h.shared.Get(ctx, func(ctx context.Context) (*sshclient.Client, error) {
		target, err := h.target()
		if err != nil {
			return nil, err
		}
		return h.dial(ctx, target, h.keys)
	})
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

// dial logs in by the route to the host.
func (h *Host) dial(ctx context.Context, target sshurl.Target, keys hostkey.Checker) (*sshclient.Client, error) {
	return sshclient.Dial(ctx, target, h.options(keys, 0))
}

// verifyLogin fails if a login has reached another machine than the host. It is called for
// every login, and succeeds until the address of the host was verified for the first time.
func (h *Host) verifyLogin(ctx context.Context, run func(context.Context, string) (string, error)) error {
	verifier, ok := h.instance.(provider.LoginVerifier)
	if !ok || !h.verified.Load() {
		return nil
	}
	return verifier.VerifyLogin(ctx, run)
}

// options are those of a login by the route to the host, with a timeout for the TCP
// connection. 0 is no timeout.
func (h *Host) options(keys hostkey.Checker, timeout time.Duration) *sshclient.Options {
	options := &sshclient.Options{HostKeys: keys, ConnectTimeout: timeout, TrackProcesses: true, Verify: h.verifyLogin}
	if h.route.Reach() != provider.ReachDirect {
		options.Dialer = h.route.WithTimeout(timeout)
	}
	return options
}

// SSHOption is an option of ssh_config(5).
type SSHOption struct{ Name, Value string }

// SSHOptions are the options with which ssh logs in to the host: HostName, User and so
// on. If the key of a new host is known, ssh accepts no other; if it is not, ssh
// accepts any and does not remember it. They contain no secret: ssh asks for those.
func (h *Host) SSHOptions() ([]SSHOption, error) {
	target, err := h.target()
	if err != nil {
		return nil, err
	}
	options := []SSHOption{{"HostName", target.Host}}
	if target.User != "" {
		options = append(options, SSHOption{"User", target.User})
	}
	if target.Port != 0 {
		options = append(options, SSHOption{"Port", strconv.Itoa(target.Port)})
	}
	if target.PrivateKeyFile != "" {
		options = append(options, SSHOption{"IdentityFile", quoteOption(target.PrivateKeyFile)}, SSHOption{"IdentitiesOnly", "yes"})
	}
	if h.route.Reach() == provider.ReachHypervisor {
		gateway, err := h.route.Gateway()
		if err != nil {
			return nil, err
		}
		options = append(options, SSHOption{"ProxyJump", jumpTo(gateway)})
	}
	return append(options, h.hostKeyOptions()...), nil
}

// hostKeyOptions say which host keys are accepted. For an existing machine that is
// left to known_hosts.
func (h *Host) hostKeyOptions() []SSHOption {
	pin, isNew := h.keys.(*hostkey.Pin)
	if !isNew {
		return nil
	}
	options := []SSHOption{{"UserKnownHostsFile", "/dev/null"}, {"GlobalKnownHostsFile", "/dev/null"}}
	key, err := pin.MarshalText()
	if err != nil || len(key) == 0 {
		return append(options, SSHOption{"StrictHostKeyChecking", "no"}, SSHOption{"LogLevel", "ERROR"})
	}
	return append(options, SSHOption{"StrictHostKeyChecking", "yes"}, SSHOption{"KnownHostsCommand", fmt.Sprintf("/bin/echo %%H %s", key)})
}

func jumpTo(t sshurl.Target) string {
	text := t.Host
	if strings.Contains(text, ":") {
		text = "[" + text + "]"
	}
	if t.User != "" {
		text = t.User + "@" + text
	}
	if t.Port != 0 {
		text += ":" + strconv.Itoa(t.Port)
	}
	return text
}

// quoteOption quotes the value of an option that contains a blank.
func quoteOption(value string) string {
	if strings.ContainsAny(value, " \t") {
		return `"` + value + `"`
	}
	return value
}

// How often a login to a booting machine is tried. A machine without network does
// not answer, and the system sends its next packets after 1, 3 and 7 s: a new
// connection gets an answer sooner.
const (
	firstLoginPause = 50 * time.Millisecond
	lastLoginPause  = 250 * time.Millisecond
	connectTimeout  = 2 * time.Second
	attemptTimeout  = 10 * time.Second // of the first attempt
	longestAttempt  = time.Minute
)

// awaitLogin waits until a login succeeds, at most for provision.startTimeout. A
// permanent error and an outage of the host end the wait at once, repeated refusals (see
// refusals) and errors with a remedy (see remedy) within about 10 s.
func (h *Host) awaitLogin(ctx context.Context) error {
	target, err := h.target()
	if err != nil {
		return err
	}
	caller, limit := ctx, h.settings.Provision.StartTimeout
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("provision.startTimeout of %v expired", limit))
	defer cancel()
	try := h.loginAttempts(target)
	refused, hopeless := refusals{limit: h.refusalLimit}, repetition{limit: h.refusalLimit}
	pause := firstLoginPause
	var last error
	for attempts := 1; ; attempts++ {
		err := trace.Do(ctx, "log in", func() error { return try(ctx) })
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil { // an attempt that the timeout ends says nothing new
			last = refused.note(err, time.Now())
			failure := redact.Text(last.Error())
			h.loginFailure.Store(&failure)
		}
		failed := fmt.Errorf("logging in as %s: %w after %d attempts: %w", target, ErrNotReachable, attempts, last)
		if IsPermanent(last) {
			return failed
		}
		if remedy := h.remedy(last); hopeless.isFinal(remedy, time.Now()) {
			return fmt.Errorf("%w: %s", failed, remedy)
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
// evaluation of the ssh configuration. After an attempt that has timed out, the next one
// may take twice as long: on a busy machine, an emulated guest takes more than 10 s for the
// key exchange, and would begin it again for each attempt.
func (h *Host) loginAttempts(target sshurl.Target) func(context.Context) error {
	var login *sshclient.Login
	limit := h.attemptLimit
	return func(ctx context.Context) (err error) {
		if login == nil {
			if login, err = sshclient.Resolve(ctx, target, h.options(h.keys, connectTimeout)); err != nil {
				return err
			}
		}
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		_, err = h.shared.Get(ctx, login.Dial)
		if err != nil && ctx.Err() != nil {
			limit = min(2*limit, longestAttempt)
		}
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

// IsPermanent reports whether a retry cannot help: the configuration or a key is
// wrong, or another machine has the address. One refused login is not permanent, see
// refusals; but the hypervisor is not booting.
func IsPermanent(err error) bool {
	return errors.Is(err, ErrNoLogin) || errors.Is(err, provider.ErrAddressConflict) || sshclient.IsPermanent(err) ||
		(errors.Is(err, provider.ErrHypervisorNotReachable) && errors.Is(err, sshclient.ErrLoginRefused))
}

// remedy returns what to do about an error that more attempts do not change, or "": DNS
// does not know the name, or an existing machine, which does not boot, refuses connections.
func (h *Host) remedy(err error) string {
	var lookup *net.DNSError
	if errors.As(err, &lookup) && lookup.IsNotFound {
		return "correct the name, or add it to DNS or to /etc/hosts"
	}
	if p, ok := h.instance.(provider.Persistent); ok && p.IsPersistent() && errors.Is(err, syscall.ECONNREFUSED) {
		return "no server listens on this port: check that sshd runs there, and the port of connection.url"
	}
	return ""
}

// repetition counts the attempts in a row whose errors have the same remedy.
type repetition struct {
	limit  time.Duration // from the first attempt until they are final
	remedy string
	count  int
	since  time.Time // of the first one
}

// isFinal takes the remedy for the error of an attempt, or "", and reports whether
// enough attempts for long enough had it.
func (r *repetition) isFinal(remedy string, now time.Time) bool {
	if remedy != r.remedy {
		r.remedy, r.count, r.since = remedy, 0, now
	}
	r.count++
	return remedy != "" && r.count >= minRefusals && now.Sub(r.since) >= r.limit
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
