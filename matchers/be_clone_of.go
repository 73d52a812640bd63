package matchers

import (
	"context"
	"fmt"
)

// BeCloneOf succeeds if the host is a clone of a base domain of that name. It
// needs the method Base, which answers with "" for a host that is no clone.
func BeCloneOf(base string) *BeCloneOfMatcher { return &BeCloneOfMatcher{base: base} }

// BeCloneOfMatcher is made by [BeCloneOf].
type BeCloneOfMatcher struct {
	attempts
	base string
}

// Match is Gomega's.
func (m *BeCloneOfMatcher) Match(actual any) (bool, error) {
	if err := checkText("BeCloneOf", "name", m.base); err != nil {
		return false, err
	}
	host, err := subject[cloned]("BeCloneOf", baseMethod, actual)
	if err != nil {
		return false, err
	}
	q := question{wanted: "to be a clone of " + m.base, tried: "Base of the host"}
	return ask(&m.attempts, actual, q, func(context.Context) (answer, error) {
		base := host.Base()
		if base == "" {
			return answer{found: "it is no clone, as far as its provider says"}, nil
		}
		return answer{ok: base == m.base, found: fmt.Sprintf("it is a clone of %s", base)}, nil
	}, itself)
}

// MatchMayChangeInTheFuture is Gomega's: what a host is a clone of does not
// change, but one that is set up anew may be of another.
func (m *BeCloneOfMatcher) MatchMayChangeInTheFuture(actual any) bool {
	return mayChange[cloned](&m.attempts, actual)
}
