package matchers

import (
	"fmt"
	"strings"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/internal/printable"
	"github.com/overcast-go/overcast/internal/redact"
)

// message is the text of a failure or an error. It hides secrets, and shows control
// characters as escapes.
func message(verb, host, wanted, tried string, count int, got verdict) string {
	shown, secrets := redact.Redact(tried)
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n    %s\n%s\n", verb, host, wanted)
	field(&b, "tried", shown)
	if got.err != nil {
		field(&b, "last error", got.err.Error())
	} else {
		field(&b, "found", got.found)
	}
	fmt.Fprintf(&b, "attempts: %d", count)
	return redact.Hide(printable.Text(b.String()), secrets)
}

// field writes a name and a text: on one line, or indented below the name.
func field(b *strings.Builder, name, text string) {
	text = strings.TrimRight(text, "\n")
	if strings.Contains(text, "\n") {
		text = "\n    " + strings.ReplaceAll(text, "\n", "\n    ")
	} else {
		text = " " + text
	}
	fmt.Fprintf(b, "%s:%s\n", name, text)
}

// describeResult says how a command ended and what it printed.
func describeResult(result fixture.Result) string {
	return fmt.Sprintf("exited with %d, stdout %s, stderr %s", result.ExitCode, excerpt(result.Stdout), excerpt(result.Stderr))
}

// excerptLimit is how many bytes of an output a message shows.
const excerptLimit = 500

// excerpt quotes the end of a text, where the cause of a failure usually is.
func excerpt(text string) string {
	if text == "" {
		return "empty"
	}
	if cut := len(text) - excerptLimit; cut > 0 {
		return fmt.Sprintf("...%q (first %d bytes omitted)", text[cut:], cut)
	}
	return fmt.Sprintf("%q", text)
}

// quotePath quotes a path with blanks, quotes or control characters.
func quotePath(p string) string {
	if strings.ContainsFunc(p, func(r rune) bool { return r <= ' ' || r == '\'' || r == '"' || r == 0x7f }) {
		return fmt.Sprintf("%q", p)
	}
	return p
}
