package matchers

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/internal/ssh"
)

// HaveService succeeds if a service runs under the host's systemd, where it is
// an active unit, or under its OpenRC. A service that nobody has installed does
// not run. It needs the method Run. A host that has neither is an error.
func HaveService(name string) *HaveServiceMatcher { return &HaveServiceMatcher{name: name} }

// HaveServiceMatcher is made by [HaveService].
type HaveServiceMatcher struct {
	attempts
	name string
}

// Within bounds an attempt, which may take 2 s otherwise.
func (m *HaveServiceMatcher) Within(bound time.Duration) *HaveServiceMatcher {
	m.bound = bound
	return m
}

// askService asks systemd, if there is one that answers, and else OpenRC, and
// prints in the first line who has answered. It exits with what OpenRC's
// script says, which is 0 for a service that runs, and with exitNobody where
// there is nobody to ask. The commands are in folders that not everybody
// searches.
const askService = `PATH=$PATH:/usr/sbin:/sbin; s=%s; ` +
	`if command -v systemctl >/dev/null && o=$(systemctl show -p LoadState -p ActiveState -p SubState -- "$s") && [ -n "$o" ]; then echo systemd; echo "$o"; ` +
	`elif command -v rc-service >/dev/null; then echo OpenRC; rc-service "$s" status 2>&1; ` +
	`else exit %d; fi`

const exitNobody = 47

// Match is Gomega's.
func (m *HaveServiceMatcher) Match(actual any) (bool, error) {
	if err := checkText("HaveService", "name", m.name); err != nil {
		return false, err
	}
	if strings.ContainsAny(m.name, "*?[/ \n") || strings.HasPrefix(m.name, "-") {
		return false, misused("HaveService: %q is no name of one service", m.name)
	}
	return askShell(&m.attempts, "HaveService", actual, fmt.Sprintf("to have the service %s running", m.name),
		fmt.Sprintf(askService, ssh.Quote(m.name), exitNobody), m.judge)
}

var errNobody = errors.New("the host has neither a running systemd nor OpenRC")

func (m *HaveServiceMatcher) judge(result fixture.Result) (answer, error) {
	who, said, _ := strings.Cut(result.Stdout, "\n")
	said = strings.TrimSpace(said)
	switch {
	case result.ExitCode == exitNobody && result.Stderr == "":
		return answer{}, errNobody
	case result.ExitCode == exitNobody:
		return answer{}, fmt.Errorf("%w: %s", errNobody, strings.TrimSpace(result.Stderr))
	case who == "systemd":
		return judgeUnit(said, result)
	case who == "OpenRC":
		return answer{ok: result.ExitCode == 0, found: fmt.Sprintf("OpenRC says %q (exit code %d)", said, result.ExitCode)}, nil
	}
	return answer{}, unexpected("asking for the service", result)
}

func judgeUnit(said string, result fixture.Result) (answer, error) {
	state := map[string]string{}
	for line := range strings.Lines(said) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		state[name] = value
	}
	active := state["ActiveState"]
	if active == "" {
		return answer{}, unexpected("asking systemd", result)
	}
	found := fmt.Sprintf("systemd says %s (%s)", active, state["SubState"])
	if state["LoadState"] == "not-found" {
		found = "systemd knows no such unit"
	}
	return answer{ok: active == "active" || active == "reloading", found: found}, nil
}

// MatchMayChangeInTheFuture is Gomega's.
func (m *HaveServiceMatcher) MatchMayChangeInTheFuture(actual any) bool {
	return mayChange[runner](&m.attempts, actual)
}
