package matchers

import (
	"context"
	"fmt"
)

// BeCloneOf succeeds if the host is a clone of the base domain with that name.
// The host needs the method BaseDomain, which returns "" for a host that is not a
// clone.
func BeCloneOf(base string) *beCloneOfMatcher {
	return &beCloneOfMatcher{evaluator: evaluator[cloned]{matcher: "BeCloneOf"}, base: base}
}

type beCloneOfMatcher struct {
	evaluator[cloned]
	base string
}

// Match implements Gomega's matcher.
func (m *beCloneOfMatcher) Match(actual any) (bool, error) {
	if err := checkText(m.matcher, "name", m.base); err != nil {
		return false, err
	}
	host, err := m.host(actual)
	if err != nil {
		return false, err
	}
	q := query{wanted: "to be a clone of " + m.base, tried: "BaseDomain() of the host"}
	return evaluate(&m.evaluator, actual, q, func(context.Context) (verdict, error) {
		base := host.BaseDomain()
		if base == "" {
			return verdict{found: "its provider reports no base domain"}, nil
		}
		return verdict{ok: base == m.base, found: fmt.Sprintf("it is a clone of %s", base)}, nil
	}, identity)
}
