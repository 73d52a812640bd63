package hocon

import (
	"fmt"
	"sort"
	"strings"
	"sync"
	"unicode/utf8"
)

// Error is implemented by all errors about the content of a configuration. The
// message starts with the position: "overcast.conf:12:5: ". Use [errors.As] with
// this interface for the position, or with one of the types below for more.
type Error interface {
	error
	// Position returns the place in the configuration that causes the error.
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

// SyntaxError reports a text that is not HOCON; or not JSON, or not a properties
// file, if that is what the name of the file says.
type SyntaxError struct {
	Pos      Position
	Found    string // what is at Pos
	Expected string // what could be there; may be empty
	Hint     string // the cause, or how to correct it; may be empty
}

// Position returns where the text stops being valid; for a string that is not
// closed, its opening quote.
func (e *SyntaxError) Position() Position { return e.Pos }

// Error returns the message, which starts with the position.
func (e *SyntaxError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: ", e.Pos)
	if e.Expected != "" {
		fmt.Fprintf(&b, "expected %s, found ", e.Expected)
	}
	b.WriteString(e.Found)
	if e.Hint != "" {
		b.WriteString(": ")
		b.WriteString(e.Hint)
	}
	return b.String()
}

// IncludeError reports an include statement that cannot be followed: it requires
// a file that does not exist, names a URL or a file that cannot be read, or is
// part of a cycle.
type IncludeError struct {
	Pos    Position // of the include statement
	Name   string   // as written in it
	Reason string
	Chain  []Position // for a cycle, the includes that lead back to the same file, outermost first
	Err    error      // the error of the file system; may be nil
}

// Position returns the place of the include statement.
func (e *IncludeError) Position() Position { return e.Pos }

// Unwrap returns the error of the file system, or nil.
func (e *IncludeError) Unwrap() error { return e.Err }

// Error returns the message, which starts with the position.
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

// UnresolvedError reports a substitution without a value in the configuration
// and in the environment.
type UnresolvedError struct {
	Pos          Position // of the substitution
	Substitution string   // as written, "${a.b}"
}

// Position returns the place of the substitution.
func (e *UnresolvedError) Position() Position { return e.Pos }

// Error returns the message, which starts with the position.
func (e *UnresolvedError) Error() string {
	return fmt.Sprintf("%s: %s has no value, neither in the configuration nor in the environment: define it, or write %s if it is optional",
		e.Pos, e.Substitution, strings.Replace(e.Substitution, "${", "${?", 1))
}

// A Link is a step of a cycle.
type Link struct {
	Pos  Position
	Text string // the substitution, "${a.b}", or the key that is defined there, "a.b"
}

// CycleError reports values that depend on each other.
type CycleError struct {
	Pos   Position
	Chain []Link // each depends on the next, and the last on the first
}

// Position returns the place of the first link.
func (e *CycleError) Position() Position { return e.Pos }

// Error returns the message, which starts with the position.
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

// shorten replaces the middle of a long chain by an empty link.
func shorten(chain []Link) []Link {
	const shown = 20
	if len(chain) <= shown {
		return chain
	}
	short := append([]Link{}, chain[:shown/2]...)
	short = append(short, Link{})
	return append(short, chain[len(chain)-shown/2:]...)
}

// LimitError reports an input that exceeds one of the [Limits].
type LimitError struct {
	Pos   Position
	What  string // "nesting", "values", and so on
	Limit int64
}

// Position returns where the limit was exceeded.
func (e *LimitError) Position() Position { return e.Pos }

// Error returns the message, which starts with the position.
func (e *LimitError) Error() string {
	return fmt.Sprintf("%s: %s: more than the limit of %d", e.Pos, e.What, e.Limit)
}

// ValueError reports a value that is not acceptable: its type or content is
// wrong, its key is unknown or missing, or it is concatenated with a value of
// another type.
type ValueError struct {
	Pos  Position
	Path string // path expression of the value, "nat_host.SSH.timeout"; may be empty
	Msg  string // `"soon" is not a number of seconds or a duration, such as 30 or 2 minutes`
	Err  error  // the error of another package that rejected the value; may be nil
}

// Position returns the place of the value, or of the object in which it is
// missing.
func (e *ValueError) Position() Position { return e.Pos }

// Unwrap returns the error of the package that rejected the value, or nil.
func (e *ValueError) Unwrap() error { return e.Err }

// Error returns the message, which starts with the position.
func (e *ValueError) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("%s: %s", e.Pos, e.Msg)
	}
	return fmt.Sprintf("%s: %s: %s", e.Pos, e.Path, e.Msg)
}

// A Position is a place in a configuration file.
type Position struct {
	// File is the name that was given to the parser. An included file has the
	// name by which it was reached from there.
	File string
	// Line counts from 1.
	Line int
	// Column counts characters from 1.
	Column int
}

// String returns "file:line:column".
func (p Position) String() string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column) }

// before reports whether p sorts before q: by file name, then by place.
func (p Position) before(q Position) bool {
	if p.File != q.File {
		return p.File < q.File
	}
	if p.Line != q.Line {
		return p.Line < q.Line
	}
	return p.Column < q.Column
}

// A source is one text that was parsed. Nodes and values keep their source and
// an offset instead of a Position, which is computed only for those that are
// reported.
type source struct {
	name string
	text string

	once  sync.Once
	lines []int // offset at which each line starts
	marks []int // number of characters before every markInterval-th byte
}

// markInterval bounds the bytes that are read to compute a column, so that a
// file of one long line costs no more than one of many lines.
const markInterval = 1024

func (s *source) position(offset int) Position {
	if s == nil {
		return Position{}
	}
	s.once.Do(s.index)
	offset = min(max(offset, 0), len(s.text))
	line := sort.SearchInts(s.lines, offset+1)
	column := s.characters(offset) - s.characters(s.lines[line-1]) + 1
	return Position{File: s.name, Line: line, Column: column}
}

func (s *source) index() {
	s.lines = []int{0}
	for start := 0; ; {
		length := strings.IndexByte(s.text[start:], '\n')
		if length < 0 {
			break
		}
		start += length + 1
		s.lines = append(s.lines, start)
	}
	s.marks = []int{0}
	for end := markInterval; end <= len(s.text); end += markInterval {
		s.marks = append(s.marks, s.characters(end-markInterval)+countCharacters(s.text[end-markInterval:end]))
	}
}

// characters returns the number of characters before an offset.
func (s *source) characters(offset int) int {
	mark := offset / markInterval
	return s.marks[mark] + countCharacters(s.text[mark*markInterval:offset])
}

// countCharacters counts the first bytes of characters, so that a text may be
// cut between any two bytes.
func countCharacters(text string) (count int) {
	for i := range len(text) {
		if utf8.RuneStart(text[i]) {
			count++
		}
	}
	return count
}

// place is a position in compact form: nodes and values embed it.
type place struct {
	src    *source
	offset int
}

func (p place) position() Position { return p.src.position(p.offset) }
