package matchers

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/overcast-go/overcast/fixture"
)

// HaveListeningPort succeeds if a process on the host listens on a TCP port of
// any of its addresses. It reads the host's table of sockets, so it does not
// depend on a firewall. The host needs the method Run.
//
// The matcher has the method Within(time.Duration), the time limit of one attempt
// (default 2 s).
func HaveListeningPort(port int) *haveListeningPortMatcher {
	m := &haveListeningPortMatcher{evaluator: evaluator[runner]{matcher: "HaveListeningPort"}, port: port}
	m.usage = checkPort(m.matcher, port, nil)
	return m
}

type haveListeningPortMatcher struct {
	evaluator[runner]
	port  int
	usage error
}

// Within sets the time limit of one attempt.
func (m *haveListeningPortMatcher) Within(limit time.Duration) *haveListeningPortMatcher {
	m.limit = limit
	return m
}

// readSockets prints the tables of TCP sockets. The second file is missing on a
// kernel without IPv6.
const readSockets = "cat /proc/net/tcp /proc/net/tcp6 2>/dev/null"

// Match implements Gomega's matcher.
func (m *haveListeningPortMatcher) Match(actual any) (bool, error) {
	if m.usage != nil {
		return false, m.usage
	}
	return evaluateCommand(&m.evaluator, actual, fmt.Sprintf("to have a listening port %d", m.port), readSockets, m.judge)
}

func (m *haveListeningPortMatcher) judge(result fixture.Result) (verdict, error) {
	if !strings.Contains(result.Stdout, "local_address") {
		return verdict{}, unexpectedResult("reading the table of sockets", result)
	}
	ports := listeningPorts(result.Stdout)
	found := "nothing listens on any port"
	if len(ports) > 0 {
		found = "listening ports " + strings.Trim(strings.ReplaceAll(fmt.Sprint(ports), " ", ", "), "[]")
	}
	return verdict{ok: slices.Contains(ports, m.port), found: found}, nil
}

// listenState is TCP_LISTEN in the kernel's table.
const listenState = "0A"

// listeningPorts returns the ports of listening sockets, sorted and without
// duplicates.
func listeningPorts(table string) []int {
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
