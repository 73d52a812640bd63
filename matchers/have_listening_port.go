package matchers

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/overcast-go/overcast/fixture"
)

// HaveListeningPort succeeds if something on the host listens on a TCP port,
// on whichever of its addresses: the host's own table is what counts, not
// whether it can be reached. It needs the method Run.
func HaveListeningPort(port int) *HaveListeningPortMatcher {
	return &HaveListeningPortMatcher{port: port, problem: checkPort("HaveListeningPort", port, nil)}
}

// HaveListeningPortMatcher is made by [HaveListeningPort].
type HaveListeningPortMatcher struct {
	attempts
	port    int
	problem error
}

// Within bounds an attempt, which may take 2 s otherwise.
func (m *HaveListeningPortMatcher) Within(bound time.Duration) *HaveListeningPortMatcher {
	m.bound = bound
	return m
}

// readSockets prints the tables of TCP sockets; a kernel without IPv6 has one.
const readSockets = "cat /proc/net/tcp /proc/net/tcp6 2>/dev/null"

// Match is Gomega's.
func (m *HaveListeningPortMatcher) Match(actual any) (bool, error) {
	if m.problem != nil {
		return false, m.problem
	}
	return askShell(&m.attempts, "HaveListeningPort", actual, fmt.Sprintf("to have a listening port %d", m.port), readSockets, m.judge)
}

func (m *HaveListeningPortMatcher) judge(result fixture.Result) (answer, error) {
	if !strings.Contains(result.Stdout, "local_address") {
		return answer{}, unexpected("reading the table of sockets", result)
	}
	ports := listening(result.Stdout)
	return answer{ok: slices.Contains(ports, m.port), found: portsText(ports)}, nil
}

func portsText(ports []int) string {
	if len(ports) == 0 {
		return "nothing listens on any port"
	}
	return "listening ports " + strings.Trim(strings.ReplaceAll(fmt.Sprint(ports), " ", ", "), "[]")
}

// listenState is TCP_LISTEN, as the kernel's table has it.
const listenState = "0A"

// listening are the ports of listening sockets, in order and each once.
func listening(table string) []int {
	var ports []int
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 4 || fields[3] != listenState {
			continue
		}
		_, port, _ := strings.Cut(fields[1], ":")
		if number, err := strconv.ParseUint(port, 16, 16); err == nil {
			ports = append(ports, int(number))
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

// MatchMayChangeInTheFuture is Gomega's.
func (m *HaveListeningPortMatcher) MatchMayChangeInTheFuture(actual any) bool {
	return mayChange[runner](&m.attempts, actual)
}
