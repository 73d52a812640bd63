package matchers

import (
	"errors"
	"fmt"
	"strings"

	"github.com/onsi/gomega"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/internal/host"
)

// unknownError reports that a matcher could not find out whether the host
// matches.
type unknownError struct {
	text   string
	causes []error
}

func newUnknownError(text string, got verdict) error {
	e := &unknownError{text, []error{got.err}}
	if got.final {
		e.causes = append(e.causes, gomega.StopTrying("another attempt cannot succeed"))
	}
	return e
}

func (e *unknownError) Error() string   { return e.text }
func (e *unknownError) Unwrap() []error { return e.causes }

// FormattedGomegaError makes Gomega print the text instead of the fields.
func (e *unknownError) FormattedGomegaError() string { return e.text }

// usageError reports an invalid argument of a matcher. It stops Eventually.
type usageError struct{ text string }

func (e *usageError) Error() string                { return e.text }
func (e *usageError) FormattedGomegaError() string { return e.text }
func (e *usageError) Unwrap() error                { return gomega.StopTrying(e.text) }

func newUsageError(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// checkPort returns an error for an invalid port, unless there is one already.
func checkPort(what string, port int, earlier error) error {
	if earlier == nil && (port < 1 || port > 65535) {
		return newUsageError("%s: %d is not a port number from 1 to 65535", what, port)
	}
	return earlier
}

// checkText returns an error for a text that cannot be an argument of a command
// or a path.
func checkText(matcher, what, text string) error {
	switch {
	case text == "":
		return newUsageError("%s: the %s is empty", matcher, what)
	case strings.Contains(text, "\x00"):
		return newUsageError("%s: the %s %q contains a zero byte", matcher, what, text)
	}
	return nil
}

// isInconclusive returns whether an error says nothing about the host: the
// attempt failed on this machine or on the way to the host, or another machine
// answered.
func isInconclusive(err error) bool {
	return errors.Is(err, fixture.ErrNotSetUp) || errors.Is(err, fixture.ErrHypervisorNotReachable) || host.IsPermanent(err)
}
