package matchers_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/internal/sshclient/sshtest"
	. "github.com/overcast-go/overcast/matchers"
)

// Commands with the output of the real ones.
const (
	systemctl = `#!/bin/sh
[ "$1 $2 $3 $4 $5 $6 $7 $8" = "show -p LoadState -p ActiveState -p SubState --" ] || exit 1
case $9 in
nginx) printf 'LoadState=loaded\nActiveState=active\nSubState=running\n';;
reloads) printf 'LoadState=loaded\nActiveState=reloading\nSubState=reload\n';;
crashed) printf 'LoadState=loaded\nActiveState=failed\nSubState=failed\n';;
*) printf 'LoadState=not-found\nActiveState=inactive\nSubState=dead\n';;
esac
`
	deadSystemctl = `#!/bin/sh
echo "System has not been booted with systemd as init system (PID 1). Can't operate." >&2
exit 1
`
	rcService = `#!/bin/sh
[ "$2" = status ] || exit 1
case $1 in
nginx) echo ' * status: started';;
stopped) echo ' * status: stopped'; exit 3;;
crashed) echo ' * status: crashed'; exit 32;;
*) echo " * rc-service: service '$1' does not exist" >&2; exit 1;;
esac
`
)

// serviceHost sets up a host with these commands first in its PATH.
func serviceHost(t *testing.T, commands map[string]string) (*fixture.CloudHost, *sshtest.Server) {
	t.Helper()
	dir := t.TempDir()
	for name, script := range commands {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755))
	}
	return serve(t, sshtest.Config{Env: []string{"PATH=" + dir + ":" + os.Getenv("PATH")}})
}

func TestHaveService(t *testing.T) {
	systemd := map[string]string{"systemctl": systemctl}
	openRC := map[string]string{"systemctl": deadSystemctl, "rc-service": rcService}
	for name, test := range map[string]struct {
		commands map[string]string
		service  string
		runs     bool
		found    string
	}{
		"systemd, running":            {systemd, "nginx", true, "systemd: active (running)"},
		"systemd, reloading":          {systemd, "reloads", true, "systemd: reloading (reload)"},
		"systemd, failed":             {systemd, "crashed", false, "systemd: failed (failed)"},
		"systemd, missing":            {systemd, "apache", false, "systemd: no such unit"},
		"systemd, special characters": {systemd, "it's;x", false, "systemd: no such unit"},
		"OpenRC, running":             {openRC, "nginx", true, `OpenRC: "* status: started" (exit code 0)`},
		"OpenRC, stopped":             {openRC, "stopped", false, `OpenRC: "* status: stopped" (exit code 3)`},
		"OpenRC, crashed":             {openRC, "crashed", false, `OpenRC: "* status: crashed" (exit code 32)`},
		"OpenRC, missing":             {openRC, "apache", false, `OpenRC: "* rc-service: service 'apache' does not exist" (exit code 1)`},
		"both: systemd is used":       {map[string]string{"systemctl": systemctl, "rc-service": rcService}, "stopped", false, "systemd: no such unit"},
	} {
		t.Run(name, func(t *testing.T) {
			host, server := serviceHost(t, test.commands)
			m := HaveService(test.service)
			ok, err := m.Match(host)
			require.NoError(t, err)
			assert.Equal(t, test.runs, ok)
			commands := server.Commands()
			for not, message := range map[string]string{"": m.FailureMessage(host), "not ": m.NegatedFailureMessage(host)} {
				assert.Equal(t, fmt.Sprintf(`Expected
    %s, as tester
%sto have the service %s running
tried: %s
found: %s
attempts: 1`, host, not, test.service, commands[len(commands)-1], test.found), message)
			}
		})
	}
}

func TestHaveServiceWithoutAServiceManagerIsAnError(t *testing.T) {
	host, server := serve(t, sshtest.Config{Exec: answering(fixture.Result{ExitCode: 47})})
	m := HaveService("nginx")
	_, err := m.Match(host)
	commands := server.Commands()
	require.EqualError(t, err, fmt.Sprintf(`cannot check
    %s, as tester
to have the service nginx running
tried: %s
last error: the host has neither a running systemd nor OpenRC
attempts: 1`, host, commands[len(commands)-1]))
}

func TestHaveServiceShowsWhySystemdDoesNotAnswer(t *testing.T) {
	host, _ := serviceHost(t, map[string]string{"systemctl": deadSystemctl})
	_, err := HaveService("nginx").Match(host)
	require.ErrorContains(t, err, "\nlast error: the host has neither a running systemd nor OpenRC: System has not been booted with systemd")
}

func TestHaveServiceRefusesAnInvalidName(t *testing.T) {
	host := answers(t, fixture.Result{})
	unknown(t, HaveService(""), host, "HaveService: the name is empty")
	unknown(t, HaveService("ngin*"), host, `HaveService: "ngin*" is not the name of one service`)
	unknown(t, HaveService("--all"), host, `HaveService: "--all" is not the name of one service`)
}
