package matchers

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/overcast-go/overcast/fixture"
)

// HaveMounted succeeds if something is mounted on a path of the host, and it
// is what ReadOnly, WithType and From want. It is looked up in the guest's
// mount table; of several mounts on a path the last one counts. It needs the
// method Run. That the table could not be read is an error.
func HaveMounted(path string) *HaveMountedMatcher { return &HaveMountedMatcher{path: path} }

// HaveMountedMatcher is made by [HaveMounted].
type HaveMountedMatcher struct {
	attempts
	path             string
	readOnly         bool
	fileSystem, from *expectation
}

// ReadOnly wants it to be mounted read-only.
func (m *HaveMountedMatcher) ReadOnly() *HaveMountedMatcher {
	m.readOnly = true
	return m
}

// WithType wants a type of file system, as in "9p": a string, or a matcher of
// string.
func (m *HaveMountedMatcher) WithType(fileSystem any) *HaveMountedMatcher {
	m.fileSystem = expect(fileSystem)
	return m
}

// From wants a source, a device or, with 9p, the tag: a string, or a matcher
// of string.
func (m *HaveMountedMatcher) From(source any) *HaveMountedMatcher {
	m.from = expect(source)
	return m
}

// Within bounds an attempt, which may take 2 s otherwise.
func (m *HaveMountedMatcher) Within(bound time.Duration) *HaveMountedMatcher {
	m.bound = bound
	return m
}

// readMounts prints the mount table. Where there is no /proc, the command
// mount may know one.
const readMounts = "cat /proc/mounts 2>/dev/null || cat /etc/mtab 2>/dev/null || mount"

// Match is Gomega's.
func (m *HaveMountedMatcher) Match(actual any) (bool, error) {
	if !strings.HasPrefix(m.path, "/") {
		return false, misused("HaveMounted: %q is no absolute path", m.path)
	}
	return askShell(&m.attempts, "HaveMounted", actual, m.wanted(), readMounts, m.judge)
}

func (m *HaveMountedMatcher) wanted() string {
	wanted := fmt.Sprintf("to have %s mounted", shownPath(path.Clean(m.path)))
	if m.readOnly {
		wanted += " read-only"
	}
	return wanted + m.fileSystem.of("with type") + m.from.of("from")
}

func (m *HaveMountedMatcher) judge(result fixture.Result) (answer, error) {
	mounts := parseMounts(result.Stdout)
	if result.ExitCode != 0 || len(mounts) == 0 {
		return answer{}, unexpected("reading the mount table", result)
	}
	point := path.Clean(m.path)
	for _, one := range slices.Backward(mounts) {
		if one.point == point {
			return m.judgeMount(one)
		}
	}
	return answer{found: "nothing is mounted on " + shownPath(point) + m.elsewhere(mounts)}, nil
}

func (m *HaveMountedMatcher) judgeMount(one mounted) (answer, error) {
	if m.readOnly && !slices.Contains(one.options, "ro") {
		return answer{found: "it is not read-only: " + one.String()}, nil
	}
	got, err := all(one.String(),
		func() (answer, error) { return m.fileSystem.against("type", one.fileSystem) },
		func() (answer, error) { return m.from.against("source", one.source) })
	if err == nil && !got.ok {
		got.found = one.String() + "\n" + got.found
	}
	return got, err
}

// elsewhere says where the source that is wanted is mounted in place of here.
func (m *HaveMountedMatcher) elsewhere(mounts []mounted) string {
	if m.from == nil {
		return ""
	}
	for _, one := range mounts {
		if ok, err := m.from.matcher.Match(one.source); ok && err == nil {
			return "; there is " + one.String()
		}
	}
	return ""
}

// MatchMayChangeInTheFuture is Gomega's.
func (m *HaveMountedMatcher) MatchMayChangeInTheFuture(actual any) bool {
	return mayChange[runner](&m.attempts, actual)
}
