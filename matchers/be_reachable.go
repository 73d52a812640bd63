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

// BeReachableOnSSH succeeds if a login to the host over a new connection works
// and a trivial command runs there. If the configuration has no login, the
// greeting of an SSH server is enough.
//
// A failed connection or a refused login is a failed match. A wrong host key or a
// key file that cannot be used is an error that stops Eventually.
//
// The matcher has these methods; each returns the matcher:
//
//	AsUser(user string)           log in as this user, with the configured key and password
//	OnPort(port int)              use this port instead of the configured one
//	Within(limit time.Duration)   time limit of one attempt (default 10 s: a login may wait for look-ups of names)
//
// The host needs the method Run; RunAs for AsUser and OnPort; or DialContext for
// the greeting. *fixture.CloudHost has all of them.
func BeReachableOnSSH() *beReachableOnSSHMatcher {
	return &beReachableOnSSHMatcher{evaluator: evaluator[any]{matcher: "BeReachableOnSSH", limit: loginLimit}}
}

// loginLimit is the time limit of a login without Within. Key exchange, PAM and look-ups
// of names by sshd take seconds on a slow machine.
const loginLimit = 10 * time.Second

type beReachableOnSSHMatcher struct {
	evaluator[any]
	login fixture.Login
	usage error
}

// AsUser sets the login user.
func (m *beReachableOnSSHMatcher) AsUser(user string) *beReachableOnSSHMatcher {
	if user == "" {
		m.usage = newUsageError("%s: AsUser: the user is empty", m.matcher)
	}
	m.login.User = user
	return m
}

// OnPort sets the port.
func (m *beReachableOnSSHMatcher) OnPort(port int) *beReachableOnSSHMatcher {
	m.usage = checkPort(m.matcher+": OnPort", port, m.usage)
	m.login.Port = port
	return m
}

// Within sets the time limit of one attempt.
func (m *beReachableOnSSHMatcher) Within(limit time.Duration) *beReachableOnSSHMatcher {
	m.limit = limit
	return m
}

// trivialCommand shows that the host runs commands.
const trivialCommand = "true"

// Match implements Gomega's matcher.
func (m *beReachableOnSSHMatcher) Match(actual any) (bool, error) {
	if m.usage != nil {
		return false, m.usage
	}
	if isNil(actual) || !m.canUse(actual) {
		return false, newTypeError(m.matcher, m.requiredMethod(), actual)
	}
	if run := m.trial(actual); run != nil {
		return m.matchLogin(actual, run)
	}
	if m.login.User != "" {
		return false, newUsageError("%s: cannot log in as %s: %v", m.matcher, m.login.User, fixture.ErrNoLogin)
	}
	host, ok := actual.(dialer)
	if !ok {
		return false, newTypeError(m.matcher, methodOf[dialer](), actual)
	}
	return m.matchGreeting(actual, host)
}

// MatchMayChangeInTheFuture implements Gomega's interface for Eventually.
func (m *beReachableOnSSHMatcher) MatchMayChangeInTheFuture(actual any) bool {
	return !isNil(actual) && m.canUse(actual) && m.evaluator.MatchMayChangeInTheFuture(actual)
}

// canUse returns whether the actual value has a method that the matcher needs.
func (m *beReachableOnSSHMatcher) canUse(actual any) bool {
	_, runsAs := actual.(loginRunner)
	_, runs := actual.(runner)
	_, dials := actual.(dialer)
	switch {
	case m.login.User != "":
		return runsAs
	case m.login.Port != 0:
		return runsAs || dials
	}
	return runsAs || runs || dials
}

// requiredMethod is the method that an error names.
func (m *beReachableOnSSHMatcher) requiredMethod() string {
	if m.login != (fixture.Login{}) {
		return methodOf[loginRunner]()
	}
	return methodOf[runner]()
}

// trial returns a function that logs in and runs the trivial command, or nil if
// no login is configured.
func (m *beReachableOnSSHMatcher) trial(actual any) func(context.Context) (fixture.Result, error) {
	if !hasLogin(actual) {
		return nil
	}
	if host, ok := actual.(loginRunner); ok {
		return func(ctx context.Context) (fixture.Result, error) {
			result, err := host.RunAs(ctx, m.login, trivialCommand)
			return result, cause(actual, err)
		}
	}
	if host, ok := actual.(runner); ok && m.login == (fixture.Login{}) {
		return func(ctx context.Context) (fixture.Result, error) { return host.Run(ctx, trivialCommand) }
	}
	return nil
}

func (m *beReachableOnSSHMatcher) matchLogin(actual any, run func(context.Context) (fixture.Result, error)) (bool, error) {
	q := query{wanted: m.wanted(), tried: "log in and run " + trivialCommand, user: userOf(actual), unreachable: true}
	if m.login.User != "" {
		q.user = m.login.User
	}
	return evaluate(&m.evaluator, actual, q, run, func(result fixture.Result) (verdict, error) {
		return verdict{ok: result.ExitCode == 0, found: "logged in; the command " + describeResult(result)}, nil
	})
}

func (m *beReachableOnSSHMatcher) wanted() string {
	if m.login.Port == 0 {
		return "to be reachable by SSH"
	}
	return fmt.Sprintf("to be reachable by SSH on port %d", m.login.Port)
}

const defaultSSHPort = 22

func (m *beReachableOnSSHMatcher) matchGreeting(actual any, host dialer) (bool, error) {
	port := defaultSSHPort
	if m.login.Port != 0 {
		port = m.login.Port
	}
	q := query{
		wanted:      m.wanted(),
		tried:       fmt.Sprintf("connect to port %d and wait for the greeting of an SSH server", port),
		unreachable: true,
	}
	return evaluate(&m.evaluator, actual, q, func(ctx context.Context) (string, error) { return readGreeting(ctx, host, port) },
		func(line string) (verdict, error) {
			return verdict{ok: strings.HasPrefix(line, "SSH-"), found: fmt.Sprintf("the server sent %q", line)}, nil
		})
}

// greetingLimit bounds how many bytes a server may send before its greeting.
const greetingLimit = 8 << 10

// readGreeting returns the line with which an SSH server starts, or the last line
// before the server closed the connection. Other lines may come before (RFC 4253,
// section 4.2).
func readGreeting(ctx context.Context, host dialer, port int) (string, error) {
	conn, err := dial(ctx, host, port)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	lines := bufio.NewScanner(io.LimitReader(conn, greetingLimit))
	last := ""
	for lines.Scan() {
		if last = lines.Text(); strings.HasPrefix(last, "SSH-") {
			return last, nil
		}
	}
	if ctx.Err() != nil {
		return "", fmt.Errorf("connected, but the server sent no greeting: %w", context.Cause(ctx))
	}
	return last, lines.Err()
}

// BeReachableOn succeeds if a TCP connection to a port of the host can be
// established. The host needs the method DialContext.
//
// The matcher has the method Within(time.Duration), the time limit of one attempt
// (default 2 s).
func BeReachableOn(port int) *beReachableOnMatcher {
	m := &beReachableOnMatcher{evaluator: evaluator[dialer]{matcher: "BeReachableOn"}, port: port}
	m.usage = checkPort(m.matcher, port, nil)
	return m
}

type beReachableOnMatcher struct {
	evaluator[dialer]
	port  int
	usage error
}

// Within sets the time limit of one attempt.
func (m *beReachableOnMatcher) Within(limit time.Duration) *beReachableOnMatcher {
	m.limit = limit
	return m
}

// Match implements Gomega's matcher.
func (m *beReachableOnMatcher) Match(actual any) (bool, error) {
	if m.usage != nil {
		return false, m.usage
	}
	host, err := m.host(actual)
	if err != nil {
		return false, err
	}
	q := query{
		wanted:      fmt.Sprintf("to be reachable on port %d", m.port),
		tried:       fmt.Sprintf("connect to port %d", m.port),
		unreachable: true,
	}
	return evaluate(&m.evaluator, actual, q, func(ctx context.Context) (verdict, error) {
		conn, err := dial(ctx, host, m.port)
		if err != nil {
			return verdict{}, err
		}
		conn.Close()
		return verdict{ok: true, found: "the port accepts connections"}, nil
	}, identity)
}
