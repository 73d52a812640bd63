package matchers

import (
	"context"
	"fmt"
	"strings"

	"github.com/overcast-go/overcast/fixture"
)

// askShell has the host's shell run a command, and judges what it did.
func askShell(a *attempts, matcher string, actual any, wanted, cmd string, judge func(fixture.Result) (answer, error)) (bool, error) {
	host, err := subject[runner](matcher, runMethod, actual)
	if err != nil {
		return false, err
	}
	q := question{wanted: wanted, tried: cmd, user: userOf(actual)}
	return ask(a, actual, q, func(ctx context.Context) (fixture.Result, error) {
		result, err := host.Run(ctx, cmd)
		return result, inner(actual, err)
	}, judge)
}

// ending says how a command ended and what it printed.
func ending(result fixture.Result) string {
	return fmt.Sprintf("exited with %d, output %s, error output %s", result.ExitCode, excerpt(result.Stdout), excerpt(result.Stderr))
}

// excerptLimit is how many bytes of an output a message shows.
const excerptLimit = 500

// excerpt quotes the end of a text, where the point usually is.
func excerpt(text string) string {
	if text == "" {
		return "empty"
	}
	if cut := len(text) - excerptLimit; cut > 0 {
		return fmt.Sprintf("...%q (%d bytes before it left out)", text[cut:], cut)
	}
	return fmt.Sprintf("%q", text)
}

// unexpected is the error for a guest that does not answer as guests do.
func unexpected(what string, result fixture.Result) error {
	return fmt.Errorf("%s: the command %s", what, ending(result))
}

// all is the first answer that is not as wanted, or else found.
func all(found string, checks ...func() (answer, error)) (answer, error) {
	for _, check := range checks {
		if got, err := check(); err != nil || !got.ok {
			return got, err
		}
	}
	return answer{ok: true, found: found}, nil
}

// itself is the judge of what has been judged where it was found.
func itself(got answer) (answer, error) { return got, nil }

// hasLogin says whether anybody can log in to a host, as far as it tells.
func hasLogin(actual any) bool {
	host, ok := actual.(withUser)
	if !ok {
		return true
	}
	_, err := guarded(host.User)
	return !isNoLogin(err)
}

// checkPort keeps the first problem that there is.
func checkPort(what string, port int, before error) error {
	if before == nil && (port < 1 || port > 65535) {
		return misused("%s: %d is no port from 1 to 65535", what, port)
	}
	return before
}

// checkText is about what no command line and no path can have in it.
func checkText(matcher, what, text string) error {
	switch {
	case text == "":
		return misused("%s: the %s is empty", matcher, what)
	case strings.Contains(text, "\x00"):
		return misused("%s: the %s %q has a zero byte in it", matcher, what, text)
	}
	return nil
}
