package matchers

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/onsi/gomega/types"

	"github.com/overcast-go/overcast/fixture"
)

// HaveProcess succeeds if a process of that name runs on the host: a string is
// the name of the program, without its folder; a matcher of string gets the
// command line of each process, its words with a blank between them. Processes
// that have ended and that nobody has waited for do not count. It needs the
// method Run. That not all processes can be seen is an error.
func HaveProcess(name any) *HaveProcessMatcher { return &HaveProcessMatcher{name: name} }

// HaveProcessMatcher is made by [HaveProcess].
type HaveProcessMatcher struct {
	attempts
	name any
}

// Within bounds an attempt, which may take 2 s otherwise.
func (m *HaveProcessMatcher) Within(bound time.Duration) *HaveProcessMatcher {
	m.bound = bound
	return m
}

// listProcesses prints the number of its own process, and then what /proc has
// of all processes, with a heading for each file. Those that end meanwhile are
// not there any more.
const listProcesses = "echo $$; exec tail -n +1 /proc/[0-9]*/stat /proc/[0-9]*/cmdline 2>/dev/null"

// Match is Gomega's.
func (m *HaveProcessMatcher) Match(actual any) (bool, error) {
	wanted := "to have a process with a command line as the given matcher has it"
	matches := m.commandLine
	switch name := m.name.(type) {
	case string:
		if err := checkText("HaveProcess", "name", name); err != nil {
			return false, err
		}
		wanted = "to have a process " + name
		matches = func(p process) (bool, error) { return p.isCalled(name), nil }
	case types.GomegaMatcher:
	default:
		return false, misused("HaveProcess takes a name or a matcher, not a %T", m.name)
	}
	return askShell(&m.attempts, "HaveProcess", actual, wanted, listProcesses, func(result fixture.Result) (answer, error) {
		return findProcess(result, matches)
	})
}

func (m *HaveProcessMatcher) commandLine(p process) (bool, error) {
	return m.name.(types.GomegaMatcher).Match(p.String())
}

func findProcess(result fixture.Result, matches func(process) (bool, error)) (answer, error) {
	list, err := parseProcesses(result.Stdout)
	if err != nil {
		return answer{}, unexpected("listing processes: "+err.Error(), fixture.Result{Stdout: excerptStart(result.Stdout), Stderr: result.Stderr, ExitCode: result.ExitCode})
	}
	for _, p := range list {
		if ok, err := matches(p); err != nil {
			return answer{}, fmt.Errorf("matching the command line %q: %w", p, err)
		} else if ok {
			return answer{ok: true, found: fmt.Sprintf("process %s: %s", p.id, p)}, nil
		}
	}
	return answer{found: fmt.Sprintf("%d other processes", len(list))}, nil
}

// excerptStart is for outputs whose beginning tells more than their end.
func excerptStart(text string) string {
	return text[:min(len(text), excerptLimit)]
}

// process is what a host tells of a process.
type process struct {
	id, name string
	words    []string // none for the kernel's own
}

// String is the command line, or the name in brackets where there is none.
func (p process) String() string {
	if len(p.words) == 0 {
		return "[" + p.name + "]"
	}
	return strings.Join(p.words, " ")
}

// isCalled compares with the name that the kernel has, which is cut after 15
// bytes, and with that of the program as it was started.
func (p process) isCalled(name string) bool {
	return p.name == name || len(p.words) > 0 && path.Base(p.words[0]) == name
}

// heading is how tail announces a file.
var heading = regexp.MustCompile(`(?m)^==> /proc/(\d+)/(stat|cmdline) <==\n`)

var (
	errNoProcesses = errors.New("there are none in /proc")
	errHidden      = errors.New("process 1 cannot be seen, and so maybe others")
)

func parseProcesses(text string) ([]process, error) {
	own, _, _ := strings.Cut(text, "\n")
	heads := heading.FindAllStringSubmatchIndex(text, -1)
	if len(heads) == 0 {
		return nil, errNoProcesses
	}
	var list []process
	place := map[string]int{}
	for n, head := range heads {
		end := len(text)
		if n+1 < len(heads) {
			end = heads[n+1][0]
		}
		id, content := text[head[2]:head[3]], strings.TrimSuffix(text[head[1]:end], "\n")
		if text[head[4]:head[5]] == "stat" {
			if name, alive := parseStat(content); alive && id != own {
				place[id] = len(list)
				list = append(list, process{id: id, name: name})
			}
		} else if at, known := place[id]; known && content != "" {
			list[at].words = strings.Split(strings.TrimRight(content, "\x00"), "\x00")
		}
	}
	if _, seen := place["1"]; !seen {
		return nil, errHidden
	}
	return list, nil
}

// parseStat reads the name, which is in brackets and may have some itself, and
// the state of a process.
func parseStat(stat string) (name string, alive bool) {
	from, to := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	if from < 0 || to < from || len(stat) < to+3 {
		return "", false
	}
	return stat[from+1 : to], !strings.ContainsRune("ZX", rune(stat[to+2]))
}

// MatchMayChangeInTheFuture is Gomega's.
func (m *HaveProcessMatcher) MatchMayChangeInTheFuture(actual any) bool {
	return mayChange[runner](&m.attempts, actual)
}
