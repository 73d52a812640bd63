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

// HaveProcess succeeds if a process with that name runs on the host. A string is
// the name of the program without its folder. A matcher of string gets the
// command line of each process, its arguments separated by blanks. Zombie
// processes do not count. It is an error if processes are hidden from the user.
// The host needs the method Run.
//
// The matcher has the method Within(time.Duration), the time limit of one attempt
// (default 2 s).
func HaveProcess(name any) *haveProcessMatcher {
	return &haveProcessMatcher{evaluator: evaluator[runner]{matcher: "HaveProcess"}, name: name}
}

type haveProcessMatcher struct {
	evaluator[runner]
	name any
}

// Within sets the time limit of one attempt.
func (m *haveProcessMatcher) Within(limit time.Duration) *haveProcessMatcher {
	m.limit = limit
	return m
}

// listProcesses prints the ID of its own process, and then two files of /proc for
// each process, with a heading for each file. Files of processes that end
// meanwhile are missing.
const listProcesses = "echo $$; exec tail -n +1 /proc/[0-9]*/stat /proc/[0-9]*/cmdline 2>/dev/null"

// Match implements Gomega's matcher.
func (m *haveProcessMatcher) Match(actual any) (bool, error) {
	wanted := "to have a process with a command line satisfying the given matcher"
	matches := m.commandLine
	switch name := m.name.(type) {
	case string:
		if err := checkText(m.matcher, "name", name); err != nil {
			return false, err
		}
		wanted = "to have a process " + name
		matches = func(p process) (bool, error) { return p.hasName(name), nil }
	case types.GomegaMatcher:
	default:
		return false, newUsageError("%s: the name is a string or a matcher of string, not %T", m.matcher, m.name)
	}
	return evaluateCommand(&m.evaluator, actual, wanted, listProcesses, func(result fixture.Result) (verdict, error) {
		return findProcess(result, matches)
	})
}

func (m *haveProcessMatcher) commandLine(p process) (bool, error) {
	return m.name.(types.GomegaMatcher).Match(p.String())
}

func findProcess(result fixture.Result, matches func(process) (bool, error)) (verdict, error) {
	list, err := parseProcesses(result.Stdout)
	if err != nil {
		return verdict{}, unexpectedResult("listing processes: "+err.Error(), fixture.Result{Stdout: excerptStart(result.Stdout), Stderr: result.Stderr, ExitCode: result.ExitCode})
	}
	for _, p := range list {
		if ok, err := matches(p); err != nil {
			return verdict{}, fmt.Errorf("matching the command line %q: %w", p, err)
		} else if ok {
			return verdict{ok: true, found: fmt.Sprintf("process %s: %s", p.id, p)}, nil
		}
	}
	return verdict{found: fmt.Sprintf("%d other processes", len(list))}, nil
}

// excerptStart shortens an output whose beginning is more useful than its end.
func excerptStart(text string) string {
	return text[:min(len(text), excerptLimit)]
}

// process is a process of a host.
type process struct {
	id, name string
	args     []string // none for a kernel thread
}

// String returns the command line, or the name in brackets if there is none.
func (p process) String() string {
	if len(p.args) == 0 {
		return "[" + p.name + "]"
	}
	return strings.Join(p.args, " ")
}

// hasName compares a name with the kernel's name of the process, which has at most
// 15 bytes, and with the name of the program in the command line.
func (p process) hasName(name string) bool {
	return p.name == name || len(p.args) > 0 && path.Base(p.args[0]) == name
}

// heading is what tail prints before a file.
var heading = regexp.MustCompile(`(?m)^==> /proc/(\d+)/(stat|cmdline) <==\n`)

var (
	errNoProcesses = errors.New("found none in /proc")
	errHidden      = errors.New("process 1 is not visible, so others may be hidden, too")
)

func parseProcesses(text string) ([]process, error) {
	own, _, _ := strings.Cut(text, "\n")
	heads := heading.FindAllStringSubmatchIndex(text, -1)
	if len(heads) == 0 {
		return nil, errNoProcesses
	}
	var list []process
	index := map[string]int{}
	for n, head := range heads {
		end := len(text)
		if n+1 < len(heads) {
			end = heads[n+1][0]
		}
		id, content := text[head[2]:head[3]], strings.TrimSuffix(text[head[1]:end], "\n")
		if text[head[4]:head[5]] == "stat" {
			if name, alive := parseStat(content); alive && id != own {
				index[id] = len(list)
				list = append(list, process{id: id, name: name})
			}
		} else if at, known := index[id]; known && content != "" {
			list[at].args = strings.Split(strings.TrimRight(content, "\x00"), "\x00")
		}
	}
	if _, visible := index["1"]; !visible {
		return nil, errHidden
	}
	return list, nil
}

// parseStat reads the name and the state of a process. The name is in
// parentheses, and may contain some.
func parseStat(stat string) (name string, alive bool) {
	from, to := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	if from < 0 || to < from || len(stat) < to+3 {
		return "", false
	}
	return stat[from+1 : to], !strings.ContainsRune("ZX", rune(stat[to+2]))
}
