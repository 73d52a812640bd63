package matchers

import (
	"fmt"

	"github.com/onsi/gomega"
	"github.com/onsi/gomega/types"
)

// expectation is the argument of a method such as WithContent: a matcher, or a
// value to be equal to. A nil expectation expects nothing.
type expectation struct {
	matcher types.GomegaMatcher
	value   string // for messages; empty for a matcher
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

// text says what is expected of a property, for the end of a sentence.
func (e *expectation) text(property string) string {
	switch {
	case e == nil:
		return ""
	case e.value == "":
		return fmt.Sprintf(", with %s satisfying the given matcher", property)
	}
	return fmt.Sprintf(", with %s %s", property, e.value)
}

// judge matches the value of a property.
func (e *expectation) judge(property string, value any) (verdict, error) {
	if e == nil {
		return verdict{ok: true}, nil
	}
	ok, err := e.matcher.Match(value)
	switch {
	case err != nil:
		return verdict{}, fmt.Errorf("matching the %s: %w", property, err)
	case !ok:
		return verdict{found: property + ":\n" + e.matcher.FailureMessage(value)}, nil
	}
	return verdict{ok: true}, nil
}

// judgeAll returns the first verdict that is not ok, or one with found.
func judgeAll(found string, checks ...func() (verdict, error)) (verdict, error) {
	for _, check := range checks {
		if got, err := check(); err != nil || !got.ok {
			return got, err
		}
	}
	return verdict{ok: true, found: found}, nil
}
