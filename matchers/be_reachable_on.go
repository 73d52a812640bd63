package matchers

import (
	"context"
	"fmt"
	"time"
)

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
