package matchers

import (
	"fmt"

	"github.com/onsi/gomega"
	"github.com/onsi/gomega/types"
)

// An expectation is what a builder method was given: a matcher, or a value to
// be equal to. The zero value expects nothing.
type expectation struct {
	matcher types.GomegaMatcher
	value   string // as messages show it, or "" for a matcher
}

func expect(given any) *expectation {
	if matcher, ok := given.(types.GomegaMatcher); ok && !isNil(given) {
		return &expectation{matcher: matcher}
	}
	if text, ok := given.(string); ok {
		return &expectation{gomega.Equal(text), excerpt(text)}
	}
	return &expectation{gomega.Equal(given), fmt.Sprint(given)}
}

// of is the words for what is expected of a name.
func (e *expectation) of(what string) string {
	if e == nil {
		return ""
	}
	if e.value == "" {
		return fmt.Sprintf(", %s as the given matcher has it", what)
	}
	return fmt.Sprintf(", %s %s", what, e.value)
}

// against matches a value; what says which one it is.
func (e *expectation) against(what string, value any) (answer, error) {
	if e == nil {
		return answer{ok: true}, nil
	}
	ok, err := e.matcher.Match(value)
	switch {
	case err != nil:
		return answer{}, fmt.Errorf("matching the %s: %w", what, err)
	case !ok:
		return answer{found: what + ":\n" + e.matcher.FailureMessage(value)}, nil
	}
	return answer{ok: true}, nil
}
