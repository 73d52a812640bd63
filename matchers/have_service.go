package matchers

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/internal/printable"
	"github.com/overcast-go/overcast/internal/shell"
)

// HaveService succeeds if a service runs on the host: as an active unit of
// systemd, or as a started service of OpenRC. A service that is not installed is
// a failed match. A host without systemd and OpenRC is an error. The host needs
// the method Run.
//
// The matcher has the method Within(time.Duration), the time limit of one attempt
// (default 2 s).
func HaveService(name string) *haveServiceMatcher {
	return &haveServiceMatcher{evaluator: evaluator[runner]{matcher: "HaveService"}, service: name}
}

type haveServiceMatcher struct {
	evaluator[runner]
	service string
}

// Within sets the time limit of one attempt.
func (m *haveServiceMatcher) Within(limit time.Duration) *haveServiceMatcher {
	m.limit = limit
	return m
}

// serviceCommand asks systemd, if it is running, or else OpenRC. The first line of
// its output is the name of the one that answered. With OpenRC the exit code is
// that of the service's script: 0 if the service runs. The folders of the
// commands may not be in the user's PATH.
const serviceCommand = `PATH=$PATH:/usr/sbin:/sbin; s=%s; ` +
	`if command -v systemctl >/dev/null && o=$(systemctl show -p LoadState -p ActiveState -p SubState -- "$s") && [ -n "$o" ]; then echo systemd; echo "$o"; ` +
	`elif command -v rc-service >/dev/null; then echo OpenRC; rc-service "$s" status 2>&1; ` +
	`else exit %d; fi`

// exitNoManager is the exit code on a host without systemd and OpenRC.
const exitNoManager = 47

// Match implements Gomega's matcher.
func (m *haveServiceMatcher) Match(actual any) (bool, error) {
	if err := checkText(m.matcher, "name", m.service); err != nil {
		return false, err
	}
	if strings.ContainsAny(m.service, "*?[/ \n") || strings.HasPrefix(m.service, "-") {
		return false, newUsageError("%s: %q is not the name of one service", m.matcher, m.service)
	}
	return evaluateCommand(&m.evaluator, actual, fmt.Sprintf("to have the service %s running", m.service),
		fmt.Sprintf(serviceCommand, shell.Quote(m.service), exitNoManager), m.judge)
}

var errNoManager = errors.New("the host has neither a running systemd nor OpenRC")

func (m *haveServiceMatcher) judge(result fixture.Result) (verdict, error) {
	manager, output, _ := strings.Cut(result.Stdout, "\n")
	output = strings.TrimSpace(output)
	switch {
	case result.ExitCode == exitNoManager && result.Stderr == "":
		return verdict{}, errNoManager
	case result.ExitCode == exitNoManager:
		return verdict{}, fmt.Errorf("%w: %s", errNoManager, strings.Join(printable.LastLines(result.Stderr, 3), "\n"))
	case manager == "systemd":
		return judgeUnit(output, result)
	case manager == "OpenRC":
		return verdict{ok: result.ExitCode == 0, found: fmt.Sprintf("OpenRC: %q (exit code %d)", output, result.ExitCode)}, nil
	}
	return verdict{}, unexpectedResult("asking for the service", result)
}

// judgeUnit reads the properties of a unit that systemctl show prints.
func judgeUnit(properties string, result fixture.Result) (verdict, error) {
	state := map[string]string{}
	for line := range strings.Lines(properties) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		state[name] = value
	}
	active := state["ActiveState"]
	if active == "" {
		return verdict{}, unexpectedResult("asking systemd", result)
	}
	found := fmt.Sprintf("systemd: %s (%s)", active, state["SubState"])
	if state["LoadState"] == "not-found" {
		found = "systemd: no such unit"
	}
	return verdict{ok: active == "active" || active == "reloading", found: found}, nil
}
