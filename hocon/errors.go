package hocon

import (
	"fmt"
	"strings"
)

// Error is what every error of this package is: one that says where. Its
// message starts with the position, "overcast.conf:12:5: ". Use errors.As with
// this interface for the position alone, or with one of the types below.
type Error interface {
	error
	Position() Position
}

var (
	_ Error = (*SyntaxError)(nil)
	_ Error = (*IncludeError)(nil)
	_ Error = (*UnresolvedError)(nil)
	_ Error = (*CycleError)(nil)
	_ Error = (*LimitError)(nil)
	_ Error = (*ValueError)(nil)
)

// SyntaxError reports a text that is not HOCON (or not JSON, or not a
// properties file, where the name says that it should be).
type SyntaxError struct {
	Pos      Position
	Found    string // what stands at Pos, as a reader would call it
	Expected string // what could have stood there; may be empty
	Hint     string // why it is refused, or how to mend it; may be empty
}

// Position is where the text stops making sense.
func (e *SyntaxError) Position() Position { return e.Pos }

func (e *SyntaxError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: ", e.Pos)
	switch {
	case e.Expected != "" && e.Found != "":
		fmt.Fprintf(&b, "expected %s, found %s", e.Expected, e.Found)
	case e.Expected != "":
		fmt.Fprintf(&b, "expected %s", e.Expected)
	default:
		b.WriteString(e.Found)
	}
	if e.Hint != "" {
		if e.Expected != "" || e.Found != "" {
			b.WriteString(": ")
		}
		b.WriteString(e.Hint)
	}
	return b.String()
}

// IncludeError reports an include that cannot be followed: a required file
// that is missing, a file that cannot be read, a URL, a circle of includes.
type IncludeError struct {
	Pos    Position // of the include statement
	Name   string   // as written in it
	Reason string
	Chain  []Position // of the includes that lead back to the same file, outermost first; nil if there is no circle
	Err    error      // what the file system said; may be nil
}

// Position is that of the include statement.
func (e *IncludeError) Position() Position { return e.Pos }

// Unwrap gives the file system's error, if there is one.
func (e *IncludeError) Unwrap() error { return e.Err }

func (e *IncludeError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: cannot include %q: %s", e.Pos, e.Name, e.Reason)
	for i, pos := range e.Chain {
		if i == 0 {
			b.WriteString(": ")
		} else {
			b.WriteString(" -> ")
		}
		b.WriteString(pos.String())
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

// UnresolvedError reports a substitution for which there is neither a value
// in the configuration nor an environment variable.
type UnresolvedError struct {
	Pos          Position // of the substitution
	Substitution string   // as written: "${a.b}"
}

// Position is that of the substitution.
func (e *UnresolvedError) Position() Position { return e.Pos }

func (e *UnresolvedError) Error() string {
	return fmt.Sprintf("%s: %s has no value: the configuration has no such key and the environment no such variable", e.Pos, e.Substitution)
}

// A Link is one step of a cycle.
type Link struct {
	Pos  Position
	Text string // the substitution, "${a.b}", or the key, "a.b", that is defined there
}

// CycleError reports values that need each other.
type CycleError struct {
	Pos   Position
	Chain []Link // each needs the next, the last needs the first
}

// Position is that of the first link.
func (e *CycleError) Position() Position { return e.Pos }

func (e *CycleError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: substitutions form a cycle: ", e.Pos)
	for _, link := range shorten(e.Chain) {
		if link.Text == "" {
			b.WriteString("... -> ")
			continue
		}
		fmt.Fprintf(&b, "%s (%s) -> ", link.Text, link.Pos)
	}
	if len(e.Chain) > 0 {
		b.WriteString(e.Chain[0].Text)
	}
	return b.String()
}

// shorten leaves out the middle of a chain that nobody would read; the
// CycleError itself has all of it.
func shorten(chain []Link) []Link {
	const shown = 20
	if len(chain) <= shown {
		return chain
	}
	short := append([]Link{}, chain[:shown/2]...)
	short = append(short, Link{})
	return append(short, chain[len(chain)-shown/2:]...)
}

// LimitError reports an input that is larger, deeper or more explosive than
// Limits allow.
type LimitError struct {
	Pos   Position
	What  string // "nesting", "size of the text", ...
	Limit int64
}

// Position is where the limit was passed.
func (e *LimitError) Position() Position { return e.Pos }

func (e *LimitError) Error() string {
	return fmt.Sprintf("%s: %s: more than the limit of %d", e.Pos, e.What, e.Limit)
}

// ValueError reports a value that is not what it must be: of another type,
// unknown, missing, or concatenated with something that does not fit.
type ValueError struct {
	Pos  Position
	Path string // path expression of the value, "nat_host.SSH.timeout"; may be empty
	Msg  string // `"soon" is not a number of seconds or a duration`
	Err  error  // why, where another package said so; may be nil
}

// Position is that of the value, or of the object in which it is missing.
func (e *ValueError) Position() Position { return e.Pos }

// Unwrap gives the error of the conversion, if another package did it.
func (e *ValueError) Unwrap() error { return e.Err }

func (e *ValueError) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("%s: %s", e.Pos, e.Msg)
	}
	return fmt.Sprintf("%s: %s: %s", e.Pos, e.Path, e.Msg)
}
