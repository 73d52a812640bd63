package matchers

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/internal/lsmode"
	"github.com/overcast-go/overcast/internal/shell"
)

// HaveFile succeeds if the host has a file, other than a folder, at an absolute
// path. It follows symbolic links. It is an error if the matcher cannot find out,
// for example because the user may not search the folder.
//
// The matcher has these methods; each returns the matcher:
//
//	WithContent(content any)      its content: a string, []byte or a matcher of string
//	WithMode(mode any)            its permissions, see below
//	WithOwner(owner any)          the name of its owner: a string or a matcher of string
//	Within(limit time.Duration)   time limit of one attempt (default 2 s)
//
// The mode is an int as for chmod, such as 0o644 or 0o4755, an fs.FileMode, or a
// matcher of fs.FileMode, which gets the permissions with the bits setuid, setgid
// and sticky. The owner is a number if the user has no name.
//
// The host needs the method Run.
func HaveFile(path string) *haveFileMatcher {
	return &haveFileMatcher{evaluator: evaluator[runner]{matcher: "HaveFile"}, path: path}
}

type haveFileMatcher struct {
	evaluator[runner]
	path                 string
	content, mode, owner *expectation
}

// WithContent sets the expected content.
func (m *haveFileMatcher) WithContent(content any) *haveFileMatcher {
	if text, ok := content.([]byte); ok {
		content = string(text)
	}
	m.content = expect(content)
	return m
}

// WithMode sets the expected permissions.
func (m *haveFileMatcher) WithMode(mode any) *haveFileMatcher {
	if number, ok := mode.(int); ok {
		mode = chmodMode(number)
	}
	m.mode = expect(mode)
	return m
}

// WithOwner sets the expected owner.
func (m *haveFileMatcher) WithOwner(owner any) *haveFileMatcher {
	m.owner = expect(owner)
	return m
}

// Within sets the time limit of one attempt.
func (m *haveFileMatcher) Within(limit time.Duration) *haveFileMatcher {
	m.limit = limit
	return m
}

// Match implements Gomega's matcher.
func (m *haveFileMatcher) Match(actual any) (bool, error) {
	if err := checkText(m.matcher, "path", m.path); err != nil {
		return false, err
	}
	if !strings.HasPrefix(m.path, "/") {
		return false, newUsageError("%s: %q is not an absolute path", m.matcher, m.path)
	}
	file := path.Clean(m.path)
	wanted := fmt.Sprintf("to have the file %s", quotePath(file)) + m.mode.text("mode") + m.owner.text("owner") + m.content.text("content")
	return evaluateCommand(&m.evaluator, actual, wanted, statCommand(file, m.content != nil), m.judge)
}

// Exit codes of the command of statCommand.
const (
	exitNoFile     = 44
	exitNoAccess   = 45
	exitBrokenLink = 46
)

// statCommand returns a command that prints the mode and owner of a file on one
// line and then, if wanted, its content. It uses ls, which every system has, and
// lets the shell take the first words of its output, as the path at the end may
// contain blanks. If there is no file, the exit code says whether the user could
// have seen one: the nearest existing folder above must be searchable.
func statCommand(file string, content bool) string {
	name := shell.Quote(file)
	var above []string
	for folder := path.Dir(file); ; folder = path.Dir(folder) {
		above = append(above, shell.Quote(folder))
		if folder == "/" {
			break
		}
	}
	read := ""
	if content {
		read = fmt.Sprintf(" && { [ -d %s ] || cat %[1]s; }", name)
	}
	return fmt.Sprintf(`set -f; if l=$(LC_ALL=C ls -ldL %s 2>/dev/null); then set -- $l; echo "$1 $3"%s; exit; fi; `, name, read) +
		fmt.Sprintf(`[ -L %s ] && exit %d; `, name, exitBrokenLink) +
		fmt.Sprintf(`for d in %s; do if [ -d "$d" ]; then [ -x "$d" ] && exit %d; break; fi; done; exit %d`, strings.Join(above, " "), exitNoFile, exitNoAccess)
}

var errNoAccess = errors.New("the user may not search a folder above the file")

func (m *haveFileMatcher) judge(result fixture.Result) (verdict, error) {
	switch result.ExitCode {
	case 0:
	case exitNoFile:
		return verdict{found: "no such file"}, nil
	case exitBrokenLink:
		return verdict{found: "it is a symbolic link to a missing file"}, nil
	case exitNoAccess:
		return verdict{}, errNoAccess
	default:
		return verdict{}, unexpectedResult("reading the file", result)
	}
	line, content, _ := strings.Cut(result.Stdout, "\n")
	letters, owner, _ := strings.Cut(strings.TrimSuffix(line, "\r"), " ")
	mode, err := lsmode.Parse(letters)
	if err != nil || owner == "" {
		return verdict{}, unexpectedResult("reading the file's mode", result)
	}
	found := fmt.Sprintf("it has mode %v and owner %s", mode, owner)
	if mode.IsDir() {
		return verdict{found: "it is a folder: " + found}, nil
	}
	if m.content != nil {
		found += ", and content " + excerpt(content)
	}
	return judgeAll(found,
		func() (verdict, error) { return m.judgeMode(mode &^ fs.ModeType) },
		func() (verdict, error) { return m.owner.judge("owner", owner) },
		func() (verdict, error) { return m.content.judge("content", content) })
}

// judgeMode shows the mode as ls prints it; a matcher would show the number.
func (m *haveFileMatcher) judgeMode(mode fs.FileMode) (verdict, error) {
	got, err := m.mode.judge("mode", mode)
	if err == nil && !got.ok {
		got.found = fmt.Sprintf("it has mode %v", mode)
	}
	return got, err
}

// chmodMode converts a mode as for chmod.
func chmodMode(number int) fs.FileMode {
	mode := fs.FileMode(number & 0o777)
	for bit, special := range map[int]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if number&bit != 0 {
			mode |= special
		}
	}
	return mode
}
