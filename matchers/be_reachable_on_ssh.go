package matchers

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/overcast-go/overcast/fixture"
)

// BeReachableOnSSH succeeds if somebody can log in to the host and run a
// trivial command, by a connection made for this. Where the configuration does
// not say how to log in, the SSH server's greeting is enough.
//
// The host is a *fixture.CloudHost, or has the method Run, or RunAs, or, for
// the greeting, DialContext. That nobody gets there, or is let in, is a failed
// match; that the machine shows the wrong host key, or that a key file cannot
// be used, is an error that ends Eventually.
func BeReachableOnSSH() *BeReachableOnSSHMatcher { return &BeReachableOnSSHMatcher{} }

// BeReachableOnSSHMatcher is made by [BeReachableOnSSH].
type BeReachableOnSSHMatcher struct {
	attempts
	login   fixture.Login
	problem error
}

// AsUser has another user log in, with the key and password that are
// configured. It needs a host with the method RunAs, as *fixture.CloudHost has it.
func (m *BeReachableOnSSHMatcher) AsUser(user string) *BeReachableOnSSHMatcher {
	if user == "" {
		m.problem = misused("BeReachableOnSSH: AsUser was given no user")
	}
	m.login.User = user
	return m
}

// OnPort has them log in on another port than the configured one.
func (m *BeReachableOnSSHMatcher) OnPort(port int) *BeReachableOnSSHMatcher {
	m.problem = checkPort("BeReachableOnSSH: OnPort", port, m.problem)
	m.login.Port = port
	return m
}

// Within bounds an attempt, which may take 2 s otherwise.
func (m *BeReachableOnSSHMatcher) Within(bound time.Duration) *BeReachableOnSSHMatcher {
	m.bound = bound
	return m
}

// trivial is the command that shows that commands run.
const trivial = "true"

// Match is Gomega's.
func (m *BeReachableOnSSHMatcher) Match(actual any) (bool, error) {
	if m.problem != nil {
		return false, m.problem
	}
	if isNil(actual) || !m.fits(actual) {
		return false, misfit("BeReachableOnSSH", m.method(), actual)
	}
	if run := m.runner(actual); run != nil {
		return m.matchLogin(actual, run)
	}
	if m.login.User != "" {
		return false, misused("BeReachableOnSSH: nobody can log in as %s: %v", m.login.User, fixture.ErrNoLogin)
	}
	host, err := subject[dialer]("BeReachableOnSSH", dialMethod, actual)
	if err != nil {
		return false, err
	}
	return m.matchGreeting(actual, host)
}

func (m *BeReachableOnSSHMatcher) fits(actual any) bool {
	_, asSomebody := actual.(loginRunner)
	_, runs := actual.(runner)
	_, dials := actual.(dialer)
	switch {
	case m.login.User != "":
		return asSomebody
	case m.login.Port != 0:
		return asSomebody || dials
	}
	return asSomebody || runs || dials
}

// method is the one that a host should have.
func (m *BeReachableOnSSHMatcher) method() string {
	if m.login != (fixture.Login{}) {
		return runAsMethod
	}
	return runMethod
}

// runner is how to log in to a host, or nil if nobody can.
func (m *BeReachableOnSSHMatcher) runner(actual any) func(context.Context) (fixture.Result, error) {
	if !hasLogin(actual) {
		return nil
	}
	if host, ok := actual.(loginRunner); ok {
		return func(ctx context.Context) (fixture.Result, error) {
			result, err := host.RunAs(ctx, m.login, trivial)
			return result, inner(actual, err)
		}
	}
	if host, ok := actual.(runner); ok && m.login == (fixture.Login{}) {
		return func(ctx context.Context) (fixture.Result, error) { return host.Run(ctx, trivial) }
	}
	return nil
}

func (m *BeReachableOnSSHMatcher) matchLogin(actual any, run func(context.Context) (fixture.Result, error)) (bool, error) {
	q := question{wanted: "to be reachable by SSH" + m.onPort(), tried: "log in and run " + trivial, user: userOf(actual), unreachable: true}
	if m.login.User != "" {
		q.user = m.login.User
	}
	return ask(&m.attempts, actual, q, run, func(result fixture.Result) (answer, error) {
		return answer{ok: result.ExitCode == 0, found: "it was run, and " + ending(result)}, nil
	})
}

func (m *BeReachableOnSSHMatcher) onPort() string {
	if m.login.Port == 0 {
		return ""
	}
	return fmt.Sprintf(" on port %d", m.login.Port)
}

// usualPort is that of SSH.
const usualPort = 22

func (m *BeReachableOnSSHMatcher) matchGreeting(actual any, host dialer) (bool, error) {
	port := usualPort
	if m.login.Port != 0 {
		port = m.login.Port
	}
	q := question{
		wanted:      "to be reachable by SSH" + m.onPort(),
		tried:       fmt.Sprintf("connect to port %d and wait for the greeting of an SSH server", port),
		unreachable: true,
	}
	return ask(&m.attempts, actual, q, func(ctx context.Context) (string, error) { return greeting(ctx, host, port) },
		func(said string) (answer, error) {
			return answer{ok: strings.HasPrefix(said, "SSH-"), found: fmt.Sprintf("it says %q", said)}, nil
		})
}

// greetingLimit bounds what a server may say before it comes to the point.
const greetingLimit = 8 << 10

// greeting is the line by which an SSH server makes itself known, or else what
// was said last. It may say other things before.
func greeting(ctx context.Context, host dialer, port int) (string, error) {
	conn, err := dial(ctx, host, port)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	lines := bufio.NewScanner(io.LimitReader(conn, greetingLimit))
	said := ""
	for lines.Scan() {
		if said = lines.Text(); strings.HasPrefix(said, "SSH-") {
			return said, nil
		}
	}
	if ctx.Err() != nil {
		return "", fmt.Errorf("connected, but nobody said anything: %w", context.Cause(ctx))
	}
	return said, lines.Err()
}

// MatchMayChangeInTheFuture is Gomega's.
func (m *BeReachableOnSSHMatcher) MatchMayChangeInTheFuture(actual any) bool {
	return !isNil(actual) && m.fits(actual) && mayChange[any](&m.attempts, actual)
}
