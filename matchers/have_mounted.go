package matchers

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/overcast-go/overcast/fixture"
)

// HaveMounted succeeds if a file system is mounted at an absolute path of the
// host. It reads the guest's mount table; of several mounts at one path, the last
// one counts. It is an error if the table cannot be read.
//
// The matcher has these methods; each returns the matcher:
//
//	ReadOnly()                    it is mounted read-only
//	WithType(fileSystem any)      its type, such as "9p": a string or a matcher of string
//	From(source any)              its source: a device or, with 9p and virtiofs, the tag
//	                              (the target of the fsMapping); a string or a matcher of string
//	Within(limit time.Duration)   time limit of one attempt (default 2 s)
//
// The host needs the method Run.
func HaveMounted(path string) *haveMountedMatcher {
	return &haveMountedMatcher{evaluator: evaluator[runner]{matcher: "HaveMounted"}, path: path}
}

type haveMountedMatcher struct {
	evaluator[runner]
	path               string
	readOnly           bool
	fileSystem, source *expectation
}

// ReadOnly expects a read-only mount.
func (m *haveMountedMatcher) ReadOnly() *haveMountedMatcher {
	m.readOnly = true
	return m
}

// WithType sets the expected type of the file system.
func (m *haveMountedMatcher) WithType(fileSystem any) *haveMountedMatcher {
	m.fileSystem = expect(fileSystem)
	return m
}

// From sets the expected source.
func (m *haveMountedMatcher) From(source any) *haveMountedMatcher {
	m.source = expect(source)
	return m
}

// Within sets the time limit of one attempt.
func (m *haveMountedMatcher) Within(limit time.Duration) *haveMountedMatcher {
	m.limit = limit
	return m
}

// readMounts prints the mount table. Without /proc, the command mount may know
// it.
const readMounts = "cat /proc/mounts 2>/dev/null || cat /etc/mtab 2>/dev/null || mount"

// Match implements Gomega's matcher.
func (m *haveMountedMatcher) Match(actual any) (bool, error) {
	if !strings.HasPrefix(m.path, "/") {
		return false, newUsageError("%s: %q is not an absolute path", m.matcher, m.path)
	}
	return evaluateCommand(&m.evaluator, actual, m.wantedText(), readMounts, m.judge)
}

func (m *haveMountedMatcher) wantedText() string {
	wanted := fmt.Sprintf("to have %s mounted", quotePath(path.Clean(m.path)))
	if m.readOnly {
		wanted += " read-only"
	}
	return wanted + m.fileSystem.text("type") + m.source.text("source")
}

func (m *haveMountedMatcher) judge(result fixture.Result) (verdict, error) {
	mounts := parseMounts(result.Stdout)
	if result.ExitCode != 0 || len(mounts) == 0 {
		return verdict{}, unexpectedResult("reading the mount table", result)
	}
	point := path.Clean(m.path)
	for _, entry := range slices.Backward(mounts) {
		if entry.point == point {
			return m.judgeMount(entry)
		}
	}
	return verdict{found: "nothing is mounted at " + quotePath(point) + m.elsewhere(mounts)}, nil
}

func (m *haveMountedMatcher) judgeMount(entry mountEntry) (verdict, error) {
	if m.readOnly && !slices.Contains(entry.options, "ro") {
		return verdict{found: "it is not read-only: " + entry.String()}, nil
	}
	got, err := judgeAll(entry.String(),
		func() (verdict, error) { return m.fileSystem.judge("type", entry.fileSystem) },
		func() (verdict, error) { return m.source.judge("source", entry.source) })
	if err == nil && !got.ok {
		got.found = entry.String() + "\n" + got.found
	}
	return got, err
}

// elsewhere says where the expected source is mounted instead.
func (m *haveMountedMatcher) elsewhere(mounts []mountEntry) string {
	if m.source == nil {
		return ""
	}
	for _, entry := range mounts {
		if ok, err := m.source.matcher.Match(entry.source); ok && err == nil {
			return "; the source is mounted elsewhere: " + entry.String()
		}
	}
	return ""
}

// mountEntry is a line of a mount table.
type mountEntry struct {
	source, point, fileSystem string
	options                   []string
}

// String formats the line as the command mount does.
func (m mountEntry) String() string {
	return fmt.Sprintf("%s on %s type %s (%s)", m.source, quotePath(m.point), m.fileSystem, strings.Join(m.options, ","))
}

// mountLine is a line of the output of the command mount, which escapes nothing.
var mountLine = regexp.MustCompile(`^(.*) on (/.*) type (\S+) \(([^()]*)\)$`)

// parseMounts reads a table in the format of /proc/mounts or of the command
// mount. It ignores other lines.
func parseMounts(table string) []mountEntry {
	var list []mountEntry
	for line := range strings.Lines(table) {
		line = strings.TrimRight(line, "\r\n")
		if fields := mountLine.FindStringSubmatch(line); fields != nil {
			list = append(list, newMountEntry(fields[1], fields[2], fields[3], fields[4]))
			continue
		}
		if fields := strings.Split(line, " "); len(fields) >= 4 {
			list = append(list, newMountEntry(unescape(fields[0]), unescape(fields[1]), unescape(fields[2]), fields[3]))
		}
	}
	return list
}

func newMountEntry(source, point, fileSystem, options string) mountEntry {
	return mountEntry{source, path.Clean(point), fileSystem, strings.Split(options, ",")}
}

var octal = regexp.MustCompile(`\\[0-3][0-7][0-7]`)

// unescape decodes the octal escapes that the kernel writes for blanks, tabs, line
// ends and backslashes.
func unescape(field string) string {
	return octal.ReplaceAllStringFunc(field, func(escape string) string {
		return string([]byte{(escape[1]-'0')<<6 | (escape[2]-'0')<<3 | (escape[3] - '0')})
	})
}
