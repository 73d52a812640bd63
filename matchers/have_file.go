package matchers

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/onsi/gomega/types"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/internal/ssh"
)

// HaveFile succeeds if the host has a file of that path, which is no folder,
// and it is as WithContent, WithMode and WithOwner want it. Symbolic links are
// followed. It needs the method Run. That it could not be found out, as in a
// folder that the user may not look into, is an error.
func HaveFile(path string) *HaveFileMatcher { return &HaveFileMatcher{path: path} }

// HaveFileMatcher is made by [HaveFile].
type HaveFileMatcher struct {
	attempts
	path                 string
	content, mode, owner *expectation
	modeText             string
}

// WithContent wants a content: a string, or a matcher of string.
func (m *HaveFileMatcher) WithContent(content any) *HaveFileMatcher {
	if text, ok := content.([]byte); ok {
		content = string(text)
	}
	m.content = expect(content)
	return m
}

// WithMode wants permissions: a number as chmod has it, as in 0o644 or 0o4755,
// an fs.FileMode, or a matcher of fs.FileMode, which gets the permissions and
// the bits setuid, setgid and sticky.
func (m *HaveFileMatcher) WithMode(mode any) *HaveFileMatcher {
	if _, ok := mode.(types.GomegaMatcher); ok {
		m.mode, m.modeText = expect(mode), ", with mode as the given matcher has it"
		return m
	}
	if number, ok := mode.(int); ok {
		mode = fromChmod(number)
	}
	m.mode, m.modeText = expect(mode), fmt.Sprintf(", with mode %v", mode)
	return m
}

// WithOwner wants an owner, by the name of the user: a string, or a matcher of
// string. It is a number for a user without a name.
func (m *HaveFileMatcher) WithOwner(owner any) *HaveFileMatcher {
	m.owner = expect(owner)
	return m
}

// Within bounds an attempt, which may take 2 s otherwise.
func (m *HaveFileMatcher) Within(bound time.Duration) *HaveFileMatcher {
	m.bound = bound
	return m
}

// How lookAtFile exits where there is nothing to look at.
const (
	exitAbsent  = 44
	exitHidden  = 45
	exitNowhere = 46
)

// lookAtFile prints mode and owner of a file in one line, and then, if that is
// wanted, its content. ls is what every system has; its line ends with the
// path, which is not to be taken apart, so the shell picks the words before.
// Of a file that is not there it tells whether it could have been seen.
func lookAtFile(file string, content bool) string {
	name := ssh.Quote(file)
	var above []string
	for folder := path.Dir(file); ; folder = path.Dir(folder) {
		above = append(above, ssh.Quote(folder))
		if folder == "/" {
			break
		}
	}
	read := ""
	if content {
		read = fmt.Sprintf(" && { [ -d %s ] || cat %[1]s; }", name)
	}
	return fmt.Sprintf(`set -f; if l=$(LC_ALL=C ls -ldL %s 2>/dev/null); then set -- $l; echo "$1 $3"%s; exit; fi; `, name, read) +
		fmt.Sprintf(`[ -L %s ] && exit %d; `, name, exitNowhere) +
		fmt.Sprintf(`for d in %s; do if [ -d "$d" ]; then [ -x "$d" ] && exit %d; break; fi; done; exit %d`, strings.Join(above, " "), exitAbsent, exitHidden)
}

// Match is Gomega's.
func (m *HaveFileMatcher) Match(actual any) (bool, error) {
	if err := checkText("HaveFile", "path", m.path); err != nil {
		return false, err
	}
	if !strings.HasPrefix(m.path, "/") {
		return false, misused("HaveFile: %q is no absolute path", m.path)
	}
	file := path.Clean(m.path)
	wanted := fmt.Sprintf("to have the file %s", shownPath(file)) + m.modeText + m.owner.of("with owner") + m.content.of("with content")
	return askShell(&m.attempts, "HaveFile", actual, wanted, lookAtFile(file, m.content != nil), m.judge)
}

func (m *HaveFileMatcher) judge(result fixture.Result) (answer, error) {
	switch result.ExitCode {
	case 0:
	case exitAbsent:
		return answer{found: "there is no such file"}, nil
	case exitNowhere:
		return answer{found: "it is a symbolic link to what is not there"}, nil
	case exitHidden:
		return answer{}, fmt.Errorf("a folder above it may not be looked into")
	default:
		return answer{}, unexpected("reading the file", result)
	}
	line, content, _ := strings.Cut(result.Stdout, "\n")
	letters, owner, _ := strings.Cut(strings.TrimSuffix(line, "\r"), " ")
	mode, ok := parseMode(letters)
	if !ok || owner == "" {
		return answer{}, unexpected("reading the file's mode", result)
	}
	found := fmt.Sprintf("it has mode %v and owner %s", mode, owner)
	if mode.IsDir() {
		return answer{found: "it is a folder: " + found}, nil
	}
	if m.content != nil {
		found += ", and content " + excerpt(content)
	}
	return all(found,
		func() (answer, error) { return m.matchMode(mode &^ fs.ModeType) },
		func() (answer, error) { return m.owner.against("owner", owner) },
		func() (answer, error) { return m.content.against("content", content) })
}

// matchMode shows modes as people write them.
func (m *HaveFileMatcher) matchMode(mode fs.FileMode) (answer, error) {
	got, err := m.mode.against("mode", mode)
	if err == nil && !got.ok {
		got.found = fmt.Sprintf("it has mode %v", mode)
	}
	return got, err
}

// fromChmod is a mode as chmod has it.
func fromChmod(number int) fs.FileMode {
	mode := fs.FileMode(number & 0o777)
	for bit, meaning := range map[int]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if number&bit != 0 {
			mode |= meaning
		}
	}
	return mode
}

// parseMode reads a mode as ls shows it, as in -rwsr-xr-x. What follows, for
// other means of access control, is passed over.
func parseMode(letters string) (fs.FileMode, bool) {
	if len(letters) < 10 {
		return 0, false
	}
	mode, known := map[byte]fs.FileMode{
		'-': 0, 'd': fs.ModeDir, 'l': fs.ModeSymlink, 'p': fs.ModeNamedPipe, 's': fs.ModeSocket,
		'b': fs.ModeDevice, 'c': fs.ModeDevice | fs.ModeCharDevice,
	}[letters[0]]
	special := []fs.FileMode{fs.ModeSetuid, fs.ModeSetgid, fs.ModeSticky}
	for n := range 9 {
		bit := fs.FileMode(0o400 >> n)
		switch letter := letters[1+n]; letter {
		case '-':
		case "rwx"[n%3]:
			mode |= bit
		case 's', 't':
			mode |= bit | special[n/3]
		case 'S', 'T':
			mode |= special[n/3]
		default:
			known = false
		}
	}
	return mode, known
}

// MatchMayChangeInTheFuture is Gomega's.
func (m *HaveFileMatcher) MatchMayChangeInTheFuture(actual any) bool {
	return mayChange[runner](&m.attempts, actual)
}
