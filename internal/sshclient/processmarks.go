package sshclient

import (
	"bytes"
	"crypto/rand"
	"io"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// markVariable is the environment variable that marks the processes of a
// command.
const markVariable = "OVERCAST_RUN"

// A mark makes the processes of one command recognizable on the machine. Its
// text is in the command line of the login shell and of its subshells, and in
// the environment of the programs that they start. The login shell also prints
// its process ID, by which its session and its descendants are found.
type mark struct {
	text   string
	prefix string

	ended <-chan struct{} // closed when the session of the command has ended

	mu     sync.Mutex
	leader int // process ID of the shell; 0 while it is not known
}

func newMark() *mark {
	m := &mark{text: rand.Text()}
	m.prefix = strings.ReplaceAll(markPrefix, "MARK", m.text)
	return m
}

// markPrefix is put before a command. It starts no process, leaves exit code 0,
// and works in the Bourne shells, csh and fish. Only csh has a variable named
// shell. fish rejects a command line with an unquoted $$, or one that it
// evaluates. The prefix has no newline, so that line numbers in messages of the
// shell stay right.
const markPrefix = `test "$shell" && eval 'setenv ` + markVariable + ` MARK; echo MARK:$$' || ` +
	`eval 'export ` + markVariable + `=MARK; test "$FISH_VERSION" && echo MARK:$fish_pid || eval "echo MARK:\$\$"'; `

var markedCommand = regexp.MustCompile(`^` + strings.ReplaceAll(regexp.QuoteMeta(markPrefix), "MARK", "[A-Z2-7]+"))

// CommandText returns a command line of a server without the prefix by which
// [Client.Run] marks the processes of a command.
func CommandText(line string) string {
	return strings.TrimPrefix(line, markedCommand.FindString(line))
}

// wrap is the command line for the login shell.
func (m *mark) wrap(cmd string) string { return m.prefix + cmd }

// strip returns a writer that passes its input on to next without the line with
// the process ID, and without the prefix, which bash prints with a syntax error.
// flush passes on what was held back as a possible beginning of either.
func (m *mark) strip(next io.Writer) (w io.Writer, flush func()) {
	s := &stripper{mark: m, next: next}
	return s, s.flush
}

type stripper struct {
	mark *mark
	next io.Writer

	mu   sync.Mutex
	held []byte // the possible beginning of a text to remove
}

func (s *stripper) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := append(s.held, p...)
	text = bytes.ReplaceAll(text, []byte(s.mark.prefix), nil)
	if before, after, found := s.mark.cutLine(text); found {
		text = append(before, after...)
	}
	keep := max(partial(text, []byte(s.mark.prefix)), s.mark.partialLine(text))
	s.held = bytes.Clone(text[len(text)-keep:])
	if _, err := s.next.Write(text[:len(text)-keep]); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (s *stripper) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next.Write(s.held)
	s.held = nil
}

// cutLine cuts text around the line with the process ID, and keeps the ID.
func (m *mark) cutLine(text []byte) (before, after []byte, found bool) {
	before, rest, found := bytes.Cut(text, []byte(m.text+":"))
	number, after, ended := bytes.Cut(rest, []byte("\n"))
	leader, err := strconv.Atoi(string(number))
	if !found || !ended || err != nil {
		return text, nil, false
	}
	m.setLeader(leader)
	return before, after, true
}

// partialLine is the length of the end of text that may become that line.
func (m *mark) partialLine(text []byte) int {
	start := []byte(m.text + ":")
	if at := bytes.LastIndex(text, start); at >= 0 && len(bytes.TrimLeft(text[at+len(start):], "0123456789")) == 0 {
		return len(text) - at
	}
	return partial(text, start)
}

// partial is the length of the longest end of text that whole begins with.
func partial(text, whole []byte) int {
	for n := min(len(text), len(whole)-1); n > 0; n-- {
		if bytes.HasPrefix(whole, text[len(text)-n:]) {
			return n
		}
	}
	return 0
}

func (m *mark) setLeader(id int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.leader = id
}

func (m *mark) getLeader() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.leader
}
