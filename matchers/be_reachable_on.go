package matchers

import (
	"context"
	"fmt"
	"time"
)

// BeReachableOn succeeds if a TCP connection to a port of the host can be
// made. It needs the method DialContext.
func BeReachableOn(port int) *BeReachableOnMatcher {
	return &BeReachableOnMatcher{port: port, problem: checkPort("BeReachableOn", port, nil)}
}

// BeReachableOnMatcher is made by [BeReachableOn].
type BeReachableOnMatcher struct {
	attempts
	port    int
	problem error
}

// Within bounds an attempt, which may take 2 s otherwise.
func (m *BeReachableOnMatcher) Within(bound time.Duration) *BeReachableOnMatcher {
	m.bound = bound
	return m
}

// Match is Gomega's.
func (m *BeReachableOnMatcher) Match(actual any) (bool, error) {
	if m.problem != nil {
		return false, m.problem
	}
	host, err := subject[dialer]("BeReachableOn", dialMethod, actual)
	if err != nil {
		return false, err
	}
	q := question{
		wanted:      fmt.Sprintf("to be reachable on port %d", m.port),
		tried:       fmt.Sprintf("connect to port %d", m.port),
		unreachable: true,
	}
	return ask(&m.attempts, actual, q, func(ctx context.Context) (answer, error) {
		conn, err := dial(ctx, host, m.port)
		if err != nil {
			return answer{}, err
		}
		conn.Close()
		return answer{ok: true, found: "somebody accepts connections"}, nil
	}, itself)
}

// MatchMayChangeInTheFuture is Gomega's.
func (m *BeReachableOnMatcher) MatchMayChangeInTheFuture(actual any) bool {
	return mayChange[dialer](&m.attempts, actual)
}
